"""Other servers of the same graph to compare ours with, each a module that takes ``--port``.

``catalog`` has each one's name, environment and requests; ``drawing`` is what all of them do alike.
"""

IMAGES_PATH = "/v1/images"
"""The path at which our server, and all peers but those of the Open Inference Protocol, draw."""
