"""Generators from elsewhere: files of Keras 3 and 2 and SavedModels, each made into a ``Run``."""
