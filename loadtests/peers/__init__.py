"""Other servers of the same graph to compare ours with, each a module that takes ``--port``.

A peer answers ``/readyz`` and the requests of our server, or has its own ones in ``requests``.
"""
