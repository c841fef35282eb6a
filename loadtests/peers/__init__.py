"""Other servers of the same graph, to hold ours against: each a module that takes ``--port``."""
