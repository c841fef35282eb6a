"""Load against the server, every answer checked; this package knows only HTTP."""
