"""The command that starts a server: a checkout's, or an installed one."""

import importlib.util
import os
import sys
from pathlib import Path

import click

from carfront.commands.options import example
from carfront.server_folder import HOME, find_server


@click.command(epilog=example("carfront serve --port 9000 --server ~/carfront"))
@click.option("--host", envvar="CARFRONT_HOST", default="127.0.0.1", show_default=True)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    envvar="CARFRONT_PORT",
    default=8000,
    show_default=True,
)
@click.option("--models", type=click.Path(exists=True, file_okay=False), help="The repository.")
@click.option(
    "--server",
    "named",
    envvar=HOME,
    show_envvar=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The server's folder, such as a checkout; else the one that is found.",
)
def serve(host: str, port: int, models: str | None, named: Path | None) -> None:
    """Serve models until Ctrl-C, with a server that is on this machine.

    Without --server it is the checkout around this folder, or around the environment that this
    command is in, or the one in Carfront's container image. A checkout's own environment
    (.venvs/serve, from `make serve`) runs it if that is there. All other settings are variables,
    see the server's README.
    """
    folder = find_server(named)
    if folder is None:
        where = f"in {named} or above it" if named else "here"
        raise click.ClickException(
            f"there is no server {where}, and this package has none: wanted a checkout of "
            f"Carfront, as the folder in which the command runs, or named by --server or {HOME}"
        )
    python = _python(folder)
    settings = {"CARFRONT_HOST": host, "CARFRONT_PORT": str(port)}
    if models:
        settings["CARFRONT_MODELS"] = str(Path(models).absolute())
    os.environ.update(settings)
    os.chdir(folder)
    command = [python, "-m", "gunicorn", "-c", "server/gunicorn.conf.py"]
    told = f"serving {folder} on http://{host}:{port}; Ctrl-C ends it"
    click.echo(f"{told}, the same command starts another", err=True)
    sys.stderr.flush()
    os.execv(python, command)


def _python(folder: Path) -> str:
    """Return the interpreter that has the server's packages.

    Raises:
        click.ClickException: there is none.
    """
    own = folder / ".venvs" / "serve" / "bin" / "python"
    if own.exists():
        return str(own)
    if importlib.util.find_spec("gunicorn") is None:
        raise click.ClickException(
            f"the server in {folder} has no packages to run with: `make serve` there installs "
            "them, once"
        )
    return sys.executable
