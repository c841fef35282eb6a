"""The command that prints a shell's completion."""

import click
from click.shell_completion import get_completion_class

from carfront.commands.options import example

SHELLS = ("bash", "zsh", "fish")


@click.command(epilog=example("carfront completion bash >> ~/.bashrc"))
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion of commands and options for SHELL: bash, zsh or fish.

    For fish: carfront completion fish > ~/.config/fish/completions/carfront.fish
    """
    found = get_completion_class(shell)
    assert found is not None  # click has these three
    root = context.find_root().command
    click.echo(found(root, {}, "carfront", "_CARFRONT_COMPLETE").source())
