"""Trains the DCGAN that draws cars, and leaves a SavedModel and a ``run.json`` behind."""
