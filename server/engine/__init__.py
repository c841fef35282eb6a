"""The engine: the one process that owns the model, and the HTTP workers' way to it."""
