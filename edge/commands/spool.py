"""`wardwatch spool`: what waits for the servers, how old it is, and what they refused."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # imported on use: `spool --help` stays quick
    from gateway.spool import Spool


@click.command()
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default="/var/lib/wardwatch",
    show_default=True,
    help="State folder of the agent.",
)
@click.option("--dump", type=click.Choice(["lines", "csv"]), help="Print all that is kept (agent stopped).")
@click.option("--dead", metavar="SINK", help="Print what SINK refused, with its words (agent stopped).")
def command(state: Path, dump: str | None, dead: str | None) -> None:
    """Show the spool: points that wait for each server, how old the oldest is, what was refused and why.

    Asks the running agent; when none runs, the file is read. Exit code 3 when there is no spool.
    """
    if dump is None and dead is None:
        status = _asked(state) or _read(state)
        click.echo("\n".join(lines(status)))
        return
    spool = _opened(state)
    try:
        if dead is not None:
            _dead(spool, dead)
        else:
            _dump(spool, as_csv=dump == "csv")
    finally:
        spool.close()


def lines(status: dict[str, Any]) -> list[str]:
    """The status in words."""
    found = [f"{status['used_mb']:g} MB in use"]
    if status["damaged"]:
        found.append(f"DAMAGED: {status['damaged']}")
    if status["lost_points"]:
        found.append(f"LOST: {status['lost_points']} points never reached the disk")
    for sink in status["sinks"]:
        age = "" if sink["oldest_s"] is None else f", the oldest {_age(sink['oldest_s'])} old"
        found.append(f"{sink['id']}: {sink['pending']} points wait in {sink['pending_batches']} batches{age}")
        found.append(
            f"  of {sink['produced']} produced: {sink['delivered']} delivered, {sink['rejected']} refused, "
            f"{sink['dropped']} dropped because the spool was full"
        )
        found += [f"  refused alone, {n} pieces: {reason}" for reason, n in sink["dead"].items()]
    return found if status["sinks"] else [*found, "no server gets it (the site has no [[sink]])"]


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _asked(state: Path) -> dict[str, Any] | None:
    """The running agent's answer; None when none runs."""
    from edge import control

    try:
        return control.ask(control.find(state), {"do": "spool"})
    except control.AgentAway:
        return None


def _read(state: Path) -> dict[str, Any]:
    from edge.spool_status import StoreStats, look, status

    spool = _opened(state)
    stats = StoreStats()
    look(spool, stats)
    newest = max((one.oldest_ns or 0 for one in stats.counts.values()), default=0)
    spool.close()
    return status(stats, newest)


def _opened(state: Path) -> "Spool":
    from edge.store import FILE
    from gateway.spool import SpoolError
    from gateway.spool_file import open_spool

    if not (state / FILE).exists():
        click.echo(
            f"there is no spool in {state}: has an agent run there? Give its folder with --state DIR",
            err=True,
        )
        sys.exit(3)
    try:
        return open_spool(state / FILE, None).spool
    except SpoolError as error:
        click.echo(f"cannot open {state / FILE}: {error}. A running agent holds it: stop it first.", err=True)
        sys.exit(1)


def _dead(spool: "Spool", sink: str) -> None:
    pieces = spool.dead(sink)
    for seq, piece in pieces:
        click.echo(f"# batch {seq}: {piece.reason}\n{piece.text}")
    if not pieces:
        click.echo(f"{sink} refused nothing that is kept", err=True)
        sys.exit(3)


def _dump(spool: "Spool", *, as_csv: bool) -> None:
    if not as_csv:
        for line in _kept(spool):
            click.echo(line)
        return
    writer = csv.writer(sys.stdout)
    writer.writerow(["time_ms", "series", "field", "value"])
    for line in _kept(spool):
        head, _, ms = line.rpartition(" ")
        series, fields = _split(head)
        for field in fields:
            name, _, value = field.partition("=")
            writer.writerow([ms, series, name, value])


def _split(head: str) -> tuple[str, list[str]]:
    """Series and fields of a line without its time: the first space and the commas that are not escaped or quoted."""
    parts: list[str] = []
    start, is_quoted, at = 0, False, 0
    while at < len(head):
        letter = head[at]
        if letter == "\\":
            at += 1
        elif letter == '"':
            is_quoted = not is_quoted
        elif not is_quoted and (letter == " " or (letter == "," and parts)):
            parts.append(head[start:at])
            start = at + 1
        at += 1
    return parts[0], [*parts[1:], head[start:]]


def _kept(spool: "Spool") -> Iterator[str]:
    from edge import stamped

    for batch in spool.batches():
        yield from stamped.lines(batch) or ()
