"""Flask under gunicorn, with a session a worker: ``python -m loadtests.peers.flask_sessions``."""

from flask import Flask

from loadtests.peers.drawing import drawn_together, opened
from loadtests.peers.flask_app import app_with, serve


def app_of() -> Flask:
    """Return the application of one worker, which has opened the session."""
    session = opened(threads=1)
    return app_with(lambda latents: drawn_together(session, [latents])[0])


if __name__ == "__main__":
    serve(__spec__.name, __doc__)
