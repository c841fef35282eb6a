"""Serves the generator of one bundle over HTTP, every worker's requests in one batch."""
