"""`wardwatch virtual SITE.toml --world WORLD.toml --dir DIR`: virtual sensors on ptys, its own process.

    stdin   one JSON object a line (unless stdin is a terminal): a hand on the world while it runs
            {"set": {"sensor": "nut-5-12", "kind": "call_point", "value": 1}}
            {"fault": {"target": "khoi-5-12", "fault": "silent", "for_s": 60}}        for_s absent: for ever
    stdout  one line `ready DIR` when all ptys are there; that is second 0 of the world
    --log   one JSON object a line for whatever ended on a wire, flushed at once:
            {"t_ns": CLOCK_MONOTONIC, "bus": .., "unit": .., "what": "reply"|"early"|"collision"|"bad",
             "changed": [channels whose contact this reply tells otherwise than before], "faults": [..]}

A reply's `t_ns` is taken just before its last byte is handed over, so what is measured from it is never too
short; its line is written just after. The same world plays the same way each time: the randomness of its faults
is seeded by the bus. A line of stdin that makes no sense is named on stderr and changes nothing. After SIGTERM,
SIGINT or SIGHUP nothing is left.
"""

import asyncio
import contextlib
import json
import os
import random
import selectors
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from edge import problems
from models.problem import Problem

if TYPE_CHECKING:
    from drivers.stage import Stage
    from drivers.virtual_events import Event
    from drivers.world import World
    from edge.config import Config

_SCHEME: Final = "virtual:"
_LINE_BYTES_MAX: Final = 65536


@click.command()
@click.argument("site", type=click.Path(path_type=Path))
@click.option(
    "--world", "world_path", required=True, type=click.Path(path_type=Path), help="What happens, when."
)
@click.option(
    "--dir",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the ports, one link NAME for each bus with port = virtual:NAME.",
)
@click.option(
    "--log", "log_path", type=click.Path(path_type=Path, dir_okay=False), help="What ended on the wires."
)
@click.option("--until-stdin-closes", is_flag=True, help="Stop when stdin closes, too.")
def command(
    site: Path, world_path: Path, folder: Path, log_path: Path | None, until_stdin_closes: bool
) -> None:
    """Play the sensors of SITE's virtual buses on ptys, with the timing of a real wire.

    Runs until SIGTERM or Ctrl-C. The agent opens the ports with `wardwatch run SITE.toml --virtual DIR`.
    """
    from edge import config as configuration

    config, found = configuration.load(site)
    if config is None:
        problems.show(found)
        sys.exit(2)
    world, found = _read_world(world_path, config)
    if world is None:
        problems.show(found)
        sys.exit(2)
    try:
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(log_path.open("w", buffering=1)) if log_path else None
            stack.enter_context(_folder(folder))
            runner = stack.enter_context(asyncio.Runner(loop_factory=_new_loop))
            code = runner.run(_serve(config, world, folder, log, until_stdin_closes))
    except OSError as error:
        click.echo(
            f"cannot serve at {error.filename2 or error.filename or folder}: {error.strerror}", err=True
        )
        sys.exit(1)
    sys.exit(code)


def _new_loop() -> asyncio.AbstractEventLoop:
    # Not epoll: it rounds timers up to a millisecond, a character at 115,200 baud takes 87 us.
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def _serve(config: "Config", world: "World", folder: Path, log: TextIO | None, until_eof: bool) -> int:
    from drivers.pty import PtyServer
    from drivers.stage import Stage
    from drivers.virtual import virtual_wire

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    failures: list[str] = []

    def failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        loop.default_exception_handler(context)
        failures.append(context["message"])
        stop.set()

    loop.set_exception_handler(failed)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    stage = Stage(world, loop.time)
    servers = []
    for bus in config.site.bus:
        if bus.port.startswith(_SCHEME):
            engine = virtual_wire(bus, config.devices, stage, random.Random(bus.id), _writer(log))
            servers.append(PtyServer(engine, folder / bus.port.removeprefix(_SCHEME)))
    try:
        for server in servers:
            server.start()
        stage.begin()
        click.echo(f"ready {folder}")
        if sys.stdin is not None and not sys.stdin.isatty():
            hand = _Hand(lambda line: _obey(line, stage, config))
            loop.add_reader(0, hand.read, stop.set if until_eof else lambda: None)
        await stop.wait()
    finally:
        for server in servers:
            server.stop()
    return 1 if failures else 0


def _writer(log: TextIO | None) -> Callable[["Event"], None]:
    def write(event: "Event") -> None:
        if log:
            row = {"t_ns": round(event.t_s * 1e9), "bus": event.bus, "unit": event.unit, "what": event.what}
            log.write(json.dumps(row | {"changed": event.changed, "faults": event.faults}) + "\n")

    return write


class _Hand:
    """Cuts stdin into lines. A line beyond 64 KiB ends the listening: its writer is not talking to us."""

    def __init__(self, obey: Callable[[bytes], None]) -> None:
        self._obey = obey
        self._rest = b""

    def read(self, closed: Callable[[], None]) -> None:
        data = os.read(0, _LINE_BYTES_MAX)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.strip():
                self._obey(line)
        if not data or len(self._rest) > _LINE_BYTES_MAX:
            asyncio.get_running_loop().remove_reader(0)
            closed()


def _obey(line: bytes, stage: "Stage", config: "Config") -> None:
    """One command of stdin, checked as a row of a world that begins now."""
    from drivers.world import parse

    try:
        order = json.loads(line)
    except ValueError:
        order = None
    if (
        not isinstance(order, dict)
        or len(order) != 1
        or not isinstance(row := next(iter(order.values())), dict)
    ):
        click.echo('not understood: one {"set": {..}} or {"fault": {..}} a line', err=True)
        return
    table = {"set": "value", "fault": "fault"}.get(next(iter(order)), next(iter(order)))
    world, found = parse({table: [row | {"t_s": 0.0}]})
    found = found or _mismatches(world, config)
    if world is None or found:
        problems.show(found)
        return
    for (sensor, kind), course in world.courses.items():
        stage.set(sensor, kind, course.value[0])
    for fault in world.fault_list:
        stage.fail(fault.target, fault.fault, fault.for_s)


def _read_world(path: Path, config: "Config") -> tuple["World | None", list[Problem]]:
    from drivers.world import parse, series_files

    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return None, [Problem(str(path), f"cannot be read: {why}", "a world file")]
    series: dict[str, str] = {}
    for name in series_files(data):
        with contextlib.suppress(
            OSError, ValueError
        ):  # a file that is not here is a problem that parse names
            series[name] = (path.parent / name).read_text("utf-8")
    world, found = parse(data, series)
    found = found or _mismatches(world, config)
    return (None, found) if found else (world, [])


def _mismatches(world: "World | None", config: "Config") -> list[Problem]:
    from drivers.world import mismatches

    buses = [bus.id for bus in config.site.bus if bus.port.startswith(_SCHEME)]
    if not buses:
        return [Problem("bus", "this site has no virtual bus", 'port = "virtual:NAME"')]
    return mismatches(world, _channels(config, buses), buses) if world else []


def _channels(config: "Config", buses: list[str]) -> dict[str, set[str]]:
    """The kinds that a world may set, by sensor: what is measured, and the depth behind a distance."""
    kinds: dict[str, set[str]] = {}
    for device in config.devices:
        if device.bus in buses:
            for point in device.channels:
                known = kinds.setdefault(point.sensor.id, set())
                known.add(point.kind)
                if point.kind == "distance_m" and point.sensor.mount_height_m is not None:
                    known.add("depth_m")
    return kinds


@contextlib.contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """The folder exists inside the block, and is gone afterwards when it was not there before."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # somebody else has put something there
                folder.rmdir()
