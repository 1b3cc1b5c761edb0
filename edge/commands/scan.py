"""`wardwatch scan [PORT]`: who is on this bus, and the lines to paste into a site file."""

import asyncio
import logging
import selectors
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # imported on use: `scan --help` stays quick
    from collections.abc import Sequence

    from drivers.device_file import Profile
    from drivers.port import Port
    from drivers.scan import Event, Found, Setting, Unclear

_NOTHING = (
    "nobody answers. Look, in this order:",
    "  1. supply: are the sensors' lights on?",
    "  2. A and B: swap the two wires once; makers do not agree on the letters",
    "  3. the right adapter? `ls -l /dev/serial/by-path/`",
    "  4. other speeds and parities: `wardwatch scan --full`",
    "  5. one sensor alone on the bus; 120 ohm at both ends only",
)
_UNCLEAR = (
    "bytes come, but nothing that can be read: another speed or parity is likely: `wardwatch scan --full`;",
    "or two devices have one number: leave one alone on the bus",
)


@click.command()
@click.argument("port", required=False)
@click.option("--baud", help="Only these, for example 9600,19200; default: 9600 and 4800.")
@click.option("--parity", default="N", show_default=True, help="N, E or O; several: N,E.")
@click.option("--units", default="1-247", show_default=True, help="Unit numbers, for example 1-32 or 1,5,12.")
@click.option(
    "--timeout", "timeout_ms", type=click.FloatRange(20, 5000), help="Milliseconds for each answer."
)
@click.option("--full", is_flag=True, help="All speeds and parities: about a quarter of an hour.")
def command(
    port: str | None, baud: str | None, parity: str, units: str, timeout_ms: float | None, full: bool
) -> None:
    """Ask who is on the bus at PORT (a path under /dev, or HOST:PORT of a serial server). Only reads.

    Without PORT the only adapter that is plugged in. Stop the agent first: it holds its ports. Exit code 1: nobody
    was found, or the adapter was pulled.
    """
    from drivers import scan as engine

    path = port or _only_adapter()
    settings = _settings(baud, parity, full)
    numbers = _numbers(units)
    timeout = timeout_ms or engine.TIMEOUT_MS
    profiles = _profiles()
    most = _minutes(engine.worst_s(settings, len(numbers), timeout))
    n = len(settings) * len(numbers)
    click.echo(f"{path}: {', '.join(map(str, settings))}; {n} questions, at most {most} when nobody answers")
    logging.disable()  # what happens is on the screen
    seen = _Seen()
    work = _run(path, settings, engine.likely_first(profiles, numbers), profiles, timeout, seen)
    try:
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(work)
    except KeyboardInterrupt:
        seen.end_line()
        click.echo("stopped; what was found so far:")
    _report(path, seen)
    sys.exit(0 if seen.found and not seen.lost else 1)


class _Seen:
    """What the scan told, and its progress on the screen."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.unclear: list[Unclear] = []
        self.lost = ""
        self._is_line_open = False
        self._setting = ""

    def take(self, event: "Event") -> None:
        """Note it and show it."""
        from drivers.scan import Found, Step

        if isinstance(event, Step):
            self._progress(str(event.setting), event.asked, event.total)
            return
        self.end_line()
        if isinstance(event, Found):
            self.found.append(event)
            click.echo(_row(event))
        else:
            self.unclear.append(event)
            click.echo(f"{event.setting}: {event.what}")

    def end_line(self) -> None:
        """Leave the progress line."""
        if self._is_line_open:
            click.echo()
            self._is_line_open = False

    def _progress(self, setting: str, asked: int, total: int) -> None:
        if sys.stdout.isatty():
            click.echo(f"\r{setting}: {asked} of {total} asked ", nl=False)
            self._is_line_open = True
        elif setting != self._setting:
            click.echo(f"{setting}: {asked} of {total} asked")
        self._setting = setting


async def _run(
    path: str,
    settings: "Sequence[Setting]",
    units: list[int],
    profiles: "dict[str, Profile]",
    timeout_ms: float,
    seen: _Seen,
) -> None:
    from drivers import scan as engine
    from drivers.port import PortError

    try:
        async for event in engine.scan(lambda s: _port(path, s), settings, units, profiles, timeout_ms):
            seen.take(event)
    except PortError as error:
        seen.lost = str(error)
    seen.end_line()


def _port(path: str, setting: "Setting") -> "Port":
    from drivers.port import SerialPort
    from drivers.tcp import TcpPort
    from edge import build

    if path.startswith("/"):
        return SerialPort(path, setting.baud, setting.framing)
    host, _, number = path.rpartition(":")
    return TcpPort(host, int(number), build.resolver("names[scan]"))


def _report(path: str, seen: _Seen) -> None:
    if seen.lost:
        click.echo(f"the scan ended: {seen.lost}", err=True)
    if seen.found:
        click.echo(f"\n{len(seen.found)} found")
        for event in seen.found:
            click.echo(_row(event))
        click.echo("\nlines for the site file (choose ids and places; `wardwatch check` reads it back):\n")
        click.echo(_toml(path, seen.found))
    elif not seen.lost:
        click.echo("\n".join(_UNCLEAR if seen.unclear else _NOTHING))


def _row(one: "Found") -> str:
    who = "talks by itself" if one.unit is None else f"unit {one.unit:<3}"
    what = "no device file fits"
    if one.names:
        what = f"{'is' if one.is_certain else 'could be'} {' or '.join(one.names)}"
    shown = f"  ({one.shown})" if one.shown else ""
    slow = "; SLOW: give it a longer reply_ms" if one.is_slow else ""
    return f"  {one.setting!s:<11} {who}  {what}{shown}{slow}"


def _toml(path: str, found: "Sequence[Found]") -> str:
    profiles = _profiles()
    scheme = "serial" if path.startswith("/") else "rtu-tcp"
    lines: list[str] = []
    for i, setting in enumerate(dict.fromkeys(one.setting for one in found), 1):
        lines += ["[[bus]]", f'id = "bus-{i}"', f'port = "{scheme}:{path}"', f"baud = {setting.baud}"]
        lines += [f'framing = "{setting.framing}"', ""]
        for one in found:
            if one.setting == setting:
                lines += [*_sensor(one, f"bus-{i}", profiles), ""]
    return "\n".join(lines)


def _sensor(one: "Found", bus: str, profiles: "dict[str, Profile]") -> list[str]:
    name = one.names[0] if one.names else "DEVICE-FILE"
    profile = profiles.get(name)
    label = f"{name.lower()}-{'uart' if one.unit is None else one.unit}"
    lines = ["[[sensor]]", f'id = "{label}"', f'device = "{name}"', 'place = "PLACE"', f'bus = "{bus}"']
    if one.unit is not None:
        lines.append(f"unit = {one.unit}")
    if profile is not None and profile.inputs is not None:
        lines.append("input = 1     # as printed on the module; one [[sensor]] for each input that is used")
        lines.append('kind = "KIND" # smoke_contact, call_point, ...')
    elif profile is not None and any(value.kind == "distance_m" for value in profile.value):
        lines.append("mount_height_m = 0.0   # from the street to the sensor: measure it")
    return lines


def _only_adapter() -> str:
    found = sorted(str(path) for path in Path("/dev/serial/by-path").glob("*"))
    found = found or sorted(
        str(p) for kind in ("ttyUSB*", "ttyACM*", "ttyAMA*") for p in Path("/dev").glob(kind)
    )
    if len(found) == 1:
        return found[0]
    if found:
        click.echo("several adapters; name one:\n" + "\n".join(f"  {path}" for path in found), err=True)
    else:
        click.echo("no serial adapter is plugged in; name the port: wardwatch scan /dev/...", err=True)
    sys.exit(2)


def _settings(baud: str | None, parity: str, full: bool) -> "list[Setting]":
    from drivers.scan import COMMON, OTHERS, Setting

    parities = parity.upper().split(",")
    if not set(parities) <= {"N", "E", "O"}:
        raise click.BadParameter("N, E or O", param_hint="--parity")
    if full:
        return [*COMMON, *OTHERS]
    try:
        bauds = [one.baud for one in COMMON] if baud is None else [int(b) for b in baud.split(",")]
    except ValueError:
        raise click.BadParameter("numbers, for example 9600,19200", param_hint="--baud") from None
    return [Setting(b, f"8{p}1") for p in parities for b in bauds]


def _numbers(text: str) -> list[int]:
    found: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            found |= set(range(int(first), min(int(last or first), 256) + 1))
    except ValueError:
        found = set()
    if not found or min(found) < 1 or max(found) > 255:
        raise click.BadParameter("1 to 247 (a few boards: 255), like 1-32 or 1,5,12", param_hint="--units")
    return sorted(found)


def _profiles() -> "dict[str, Profile]":
    from edge import config

    return config.library()


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _new_loop() -> Any:
    # Not epoll: it rounds timers up to a millisecond, and the silence before a question is a matter of them.
    return asyncio.SelectorEventLoop(selectors.SelectSelector())
