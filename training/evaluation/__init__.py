"""Evaluates a generator's images: against photographs, each other, and the training data."""
