"""`wardwatch ack`: somebody says "I am going"; repeats stop."""

import sys
from pathlib import Path
from typing import Any

import click

from edge import control


@click.command()
@click.argument("incident", required=False)
@click.option("--by", help="Who goes; default: the user of this shell.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default="/var/lib/wardwatch",
    show_default=True,
    help="State folder of the running agent.",
)
def command(incident: str | None, by: str | None, state: Path) -> None:
    """Acknowledge INCIDENT (for example xd-gw-07-12). Without one: the only open incident, else the list of them."""
    path = control.find(state)
    try:
        if incident is None:
            incident = _only_open(control.ask(path, {"do": "view"}))
        request = {"do": "ack", "incident": incident}
        reply = control.ask(path, request | ({"by": by} if by else {}))
    except control.AgentAway as error:
        click.echo(f"{error}. Is the agent running? Give its folder with --state DIR.", err=True)
        sys.exit(1)
    if not reply["ok"]:
        click.echo(reply["why"], err=True)
        sys.exit(1)
    click.echo(f"{incident}: acknowledged. {reply['why']}".rstrip())


def _only_open(snapshot: dict[str, Any]) -> str:
    unanswered = [i for i in snapshot["incidents"] if i["state"] != "closed" and not i["acks"]]
    if not unanswered:
        click.echo("no open incident waits for an acknowledgement", err=True)
        sys.exit(3)
    if len(unanswered) > 1:
        click.echo("several incidents are open; name one:", err=True)
        for one in unanswered:
            click.echo(f"  {one['id']}  {one['headline']}", err=True)
        sys.exit(2)
    return str(unanswered[0]["id"])
