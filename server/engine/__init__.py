"""The engine: the process that owns the model, batches the workers' requests and runs them."""
