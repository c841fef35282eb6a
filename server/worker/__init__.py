"""The HTTP worker, a process of gunicorn's: connections, and the client of the engines."""
