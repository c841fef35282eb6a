"""Other servers of the same graph to compare ours with, each a module that takes ``--port``."""
