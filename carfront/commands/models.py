"""The command that lists what a server can draw with."""

import json
from dataclasses import asdict

import click

from carfront.commands.options import client_of, example, timeout_option, url_option


@click.command(epilog=example("carfront models --url http://127.0.0.1:8000"))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@timeout_option
@url_option
def models(as_json: bool, timeout_s: float, url: str) -> None:
    """List the models of a server, and which of them draw."""
    with client_of(url, timeout_s) as client:
        found = client.models()
    if as_json:
        click.echo(json.dumps([asdict(model) for model in found]))
        return
    width = max((len(f"{model.name}/{model.version}") for model in found), default=0)
    for model in found:
        name = f"{model.name}/{model.version}".ljust(width)
        click.echo(f"{name}  {model.state.lower()}  {model.reason}".rstrip())
