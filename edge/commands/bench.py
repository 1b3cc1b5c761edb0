"""`wardwatch bench [NAME...]`: how fast this machine is, each figure beside a baseline of the same run."""

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # imported on use: `bench --help` stays quick
    from edge.bench.row import Row

_PARTS = ("core", "spool", "wire")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(_PARTS), metavar="[core|spool|wire]...")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Write the rows there too."
)
def command(names: tuple[str, ...], json_path: Path | None) -> None:
    """Measure the core, the spool and the wire (half a minute). Leave the machine alone meanwhile."""
    from edge.bench.row import machine

    click.echo(machine())
    found: list[dict[str, Any]] = []
    for part in names or _PARTS:
        for row in importlib.import_module(f"edge.bench.{part}").rows():
            click.echo(_line(row))
            found.append(_as_json(row, machine()))
    if json_path is not None:
        json_path.write_text("\n".join(json.dumps(row) for row in found) + "\n")


def _line(row: "Row") -> str:
    ratio = f"{row.ratio:6.2f} x" if row.baseline else ""
    ours = f"{row.name:<38} {row.value:9.2f} {row.unit:<14}"
    return f"{ours} {row.baseline:9.2f} {row.baseline_name:<23} {ratio}".rstrip()


def _as_json(row: "Row", machine: str) -> dict[str, Any]:
    return {
        "name": row.name,
        "value": row.value,
        "unit": row.unit,
        "baseline": row.baseline,
        "baseline_name": row.baseline_name,
        "ratio": row.ratio if row.baseline else None,
        "runs": row.runs,
        "machine": machine,
    }
