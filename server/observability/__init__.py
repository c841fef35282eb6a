"""Metrics, logs and traces of all processes."""
