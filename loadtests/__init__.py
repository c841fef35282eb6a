"""Load tests of the server, which check every answer; this package knows only HTTP."""
