"""The command line of ``carfront``: its commands, and the exit status of each end."""

import os
import sys

import click

from carfront.commands import bench, completion, generate, images, models, serve, verify
from carfront.errors import CarfrontError
from carfront.http import version

STATUSES = """\b
Exit statuses:
  0  done
  1  a file, a disk or a data set is not as it should be
  2  the command was called with something it does not know
  3  the server refused: a value, a model or a key
  4  no server answered in time, or the server was full
  5  verify found something that differs
  130, 143  stopped by Ctrl-C or SIGTERM; what is written is whole (serve: 0)
"""


@click.group(epilog=STATUSES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="carfront")
def cli() -> None:
    """Draw cars that do not exist: one, a sheet, or a million.

    The server is --url, or else the variable CARFRONT_URL, or else http://127.0.0.1:8000. The key,
    where a server wants one, is CARFRONT_API_KEY.
    """


for command in (
    images.get,
    images.sheet,
    images.morph,
    models.models,
    bench.bench,
    serve.serve,
    generate.generate,
    verify.verify,
    completion.completion,
):
    cli.add_command(command)


def run(arguments: list[str]) -> int:
    """Run the command line ``arguments``, and return its exit status.

    Raises:
        KeyboardInterrupt: it was stopped; the message is for people.
    """
    try:
        status = cli.main(arguments, "carfront", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as error:
        raise error.__cause__ or KeyboardInterrupt from None
    except CarfrontError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        click.echo(f"error: {error.filename or 'a file'}: {error.strerror or error}", err=True)
        return 1
    return status if isinstance(status, int) else 0
