"""The HTTP interfaces, one module each."""
