"""`wardwatch scan [PORT]`: who is on this RS-485 bus, and the lines of the site file for it.

The report goes to standard output, progress to standard error. Exit codes: 0 something was found, 1 nothing, or
the adapter was pulled; 2 no port, or it cannot be opened. Nothing is ever written to a device.
"""

import asyncio
import contextlib
import math
import os
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:  # imported on use: `scan --help` stays quick
    from drivers.profile import Profile
    from drivers.scan import Doing, Found, Link, Plan, Trouble

COMMON: Final = (9600, 4800)
BAUDS: Final = (*COMMON, 19200, 115200, 2400, 38400)
PARITIES: Final = ("N", "E")
NAMES: Final = ("serial/by-path/*", "serial/by-id/*", "ttyUSB*", "ttyACM*")
UNITS: Final = "1-247"
SHOWN_MAX: Final = 3


@click.command()
@click.argument("port", required=False)
@click.option("--baud", metavar="9600,4800", help="Only these speeds.")
@click.option("--parity", metavar="N,E", help="Only these parities: N, E, O.")
@click.option("--units", metavar=UNITS, help="Only these addresses, like 1-20,192.")
@click.option("--timeout", type=click.FloatRange(10, 5000), metavar="MS", help="How long a device may think.")
@click.option("--full", is_flag=True, help="All usual speeds, with and without parity: takes long.")
def command(
    port: str | None,
    baud: str | None,
    parity: str | None,
    units: str | None,
    timeout: float | None,
    full: bool,
) -> None:
    """Find the devices on PORT: address, speed, what each is or could be, and the lines for the site file.

    Only reads. Listens first, then asks the common speeds (9600 and 4800 8N1; --full for more). Without PORT the
    only adapter is taken. Stop the agent first. Ctrl-C ends with what was found. Exit code 1: nothing found.
    """
    from drivers.scan import TIMEOUT_MS, Plan

    profiles = packaged()
    path = _port(port)
    asked = _numbers(units, "--units", 255) if units else None
    if asked and 0 in asked:
        raise click.BadParameter("0 is the address of all: nobody answers to it", param_hint="--units")
    bauds = tuple(_numbers(baud, "--baud", 4_000_000)) if baud else None
    steps = plan_steps(profiles, bauds, _parities(parity) if parity else None, asked, full)
    plan = Plan(steps, timeout or TIMEOUT_MS)
    sys.exit(run(path, plan, profiles))


def packaged() -> "dict[str, Profile]":
    """The device files that come with wardwatch, by name."""
    from drivers import profile

    found = {}
    for entry in (resources.files("drivers") / "devices").iterdir():
        if entry.name.endswith(".toml"):
            name = entry.name.removesuffix(".toml")
            parsed, problems = profile.parse(name, tomllib.loads(entry.read_text("utf-8")))
            assert parsed is not None, problems
            found[name] = parsed
    return dict(sorted(found.items()))


def plan_steps(
    profiles: "dict[str, Profile]",
    bauds: Sequence[int] | None,
    parities: Sequence[str] | None,
    units: Sequence[int] | None,
    is_full: bool,
) -> "tuple[tuple[Link, tuple[int, ...]], ...]":
    """What to ask, likely first: settings as given, in each the factory's addresses before the others.

    Without any wish also the factory's settings at other speeds, its addresses alone: new devices.
    """
    from drivers.scan import Link

    links = {name: one.link for name, one in profiles.items() if one.uart is None}
    factory = [unit for unit, _ in Counter(link.unit for link in links.values()).most_common()]
    wanted = [*range(1, 248), *(unit for unit in factory if unit > 247)] if units is None else units
    order = tuple(dict.fromkeys([unit for unit in factory if unit in wanted] + list(wanted)))
    chosen_bauds = bauds or (BAUDS if is_full else COMMON)
    chosen = parities or (PARITIES if is_full else PARITIES[:1])
    steps = {Link(baud, f"8{parity}1"): order for parity in chosen for baud in chosen_bauds}
    if not (bauds or parities):
        for profile in profiles.values():
            link = Link(profile.link.baud, profile.link.framing)
            new = {one.unit for one in links.values() if (one.baud, one.framing) == (link.baud, link.framing)}
            steps.setdefault(link, tuple(unit for unit in order if unit in new))
    return tuple(steps.items())


def _numbers(text: str, hint: str, most: int) -> list[int]:
    found: list[int] = []
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal() and (last or not dash)) or len(part) > 15:
            raise click.BadParameter(f"{part!r} is not a number, nor a range like 1-20", param_hint=hint)
        low, high = int(first), int(last or first)
        if not low <= high <= most or (high - low > 255):
            raise click.BadParameter(f"{part!r} is not within 1 to {most}", param_hint=hint)
        found += range(low, high + 1)
    if hint == "--baud" and min(found) < 300:
        raise click.BadParameter(f"{min(found)} is no speed of a serial line", param_hint=hint)
    return list(dict.fromkeys(found))


def _parities(text: str) -> list[str]:
    if not set(letters := text.upper().replace(" ", "").split(",")) <= set("NEO"):
        raise click.BadParameter("write N, E or O, several with commas between", param_hint="--parity")
    return list(dict.fromkeys(letters))


def candidates(dev: Path = Path("/dev")) -> list[str]:
    """Serial adapters of this machine, each once, under the name that means its socket if it has one."""
    found: dict[str, str] = {}
    for pattern in NAMES:
        for path in sorted(dev.glob(pattern)):
            found.setdefault(os.path.realpath(path), str(path))
    return list(found.values())


def _port(given: str | None) -> str:
    """The path to open; ends with exit code 2 when it is not clear which."""
    if given is not None:
        path = os.path.abspath(given.removeprefix("serial:"))
        same = [one for one in candidates() if os.path.realpath(one) == os.path.realpath(path)]
        return same[0] if same and "/by-" not in path else path
    found = candidates()
    if len(found) == 1:
        return found[0]
    if found:
        listed = "\n".join(f"  wardwatch scan {one}" for one in found)
        click.echo(f"{len(found)} serial adapters are plugged in; say which:\n{listed}", err=True)
    else:
        click.echo(
            "no serial adapter is plugged in (no /dev/serial, /dev/ttyUSB*, /dev/ttyACM*): look at "
            "its plug, its light, `dmesg | tail`; or name the port: wardwatch scan /dev/ttyS0",
            err=True,
        )
    sys.exit(2)


def run(path: str, plan: "Plan", profiles: "dict[str, Profile]") -> int:
    """Scan and report; the exit code."""
    from drivers.port import PortError, SerialPort
    from drivers.scan import QUESTIONS, Doing, Found, scan

    n_asked = len(QUESTIONS) * sum(len(units) for _, units in plan.steps)
    say = f"asks {n_asked} questions, at most {duration(plan.worst_s)}"
    each = f"up to {math.ceil(plan.each_s(profiles))} s for each device found (most take 1 s)"
    click.echo(f"{path}: {say}, and {each}", err=True)
    found: list[Found] = []
    troubles: list[Trouble] = []
    show = _Progress(plan, sys.stderr.isatty())

    async def main() -> None:
        events = scan(plan, profiles, lambda link: SerialPort(path, link.baud, link.framing), asyncio.sleep)
        async with contextlib.aclosing(events):
            async for event in events:
                if isinstance(event, Doing):
                    show.doing(event, len(found))
                elif isinstance(event, Found):
                    found.append(event)
                else:
                    troubles.append(event)

    end = ""
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        end = "ENDED BY HAND; this was found so far:"
    except PortError as error:
        if not show.has_begun:
            hint = ". Does the agent run? Stop it first: systemctl stop wardwatch"
            click.echo(f"cannot open {error}{hint if 'another program' in str(error) else ''}", err=True)
            return 2
        end = f"THE ADAPTER IS GONE ({error}); this was found so far:"
    show.end()
    told = report(path, plan, found, troubles, profiles) if found or troubles or not end else ["  nothing"]
    click.echo("\n".join([end, *told] if end else told))
    return 0 if found and not end.startswith("THE") else 1


class _Progress:
    """A line that changes on a terminal, one line a setting elsewhere."""

    def __init__(self, plan: "Plan", is_terminal: bool) -> None:
        self.has_begun = False
        self._is_terminal = is_terminal
        self._at: Link | None = None
        self._n_before, self._of_at = 0, 0
        self._n_all = sum(len(units) for _, units in plan.steps)

    def doing(self, event: "Doing", n_found: int) -> None:
        """Show it."""
        self.has_begun = True
        if event.of and (event.n == 1 or event.link != self._at):
            self._n_before, self._of_at = self._n_before + self._of_at, event.of
        what = f"listens at {event.link}" if not event.of else f"asks {event.of} addresses at {event.link}"
        if self._is_terminal:
            share = (self._n_before + event.n) / max(1, self._n_all)
            of = f", {event.n} of {event.of}, {share:.0%} of all" if event.of else ""
            click.echo(f"\r\x1b[K{what}{of}; found {n_found}", nl=False, err=True)
        elif event.link != self._at or event.n == 1:
            click.echo(what, err=True)
        self._at = event.link

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal and self.has_begun:
            click.echo("\r\x1b[K", nl=False, err=True)


def duration(seconds: float) -> str:
    """Never less than it is: 170.2 -> "2 min 51 s"."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def report(
    path: str, plan: "Plan", found: "list[Found]", troubles: "list[Trouble]", profiles: "dict[str, Profile]"
) -> list[str]:
    """The table, what is wrong, and the lines for the site file."""
    from edge.commands.check import _table

    lines: list[str] = []
    if found:
        rows = [
            ["-" if f.unit is None else str(f.unit), str(f.link.baud), f.link.framing, _is(f), _values(f)]
            for f in found
        ]
        lines += _table(["unit", "baud", "framing", "device", "value"], rows)
    lines += _wrong(troubles, {one.link for one in found if one.unit is not None})
    if found:
        return [*lines, "", "For the site file:", "", *toml(path, found, profiles)]
    return lines if troubles else _nobody(plan)


def _is(found: "Found") -> str:
    if names := ", ".join(match.name for match in found.matches):
        return f"is {names}" if found.is_certain else f"could be {names}"
    return f"talks like {found.family}, of no known model" if found.family else "answers; no device file fits"


def _values(found: "Found") -> str:
    from models.reading import KINDS

    samples = found.matches[0].samples if found.matches else ()
    raw = [one for one in samples if one.kind.startswith("raw_")]
    if not samples:
        return "no value" if found.is_certain else ""
    if len(raw) == len(samples):
        on = [str(i) for i, one in enumerate(raw, 1) if one.value]
        return f"inputs on: {', '.join(on) or 'none'}"
    told = [one for one in samples if not one.kind.startswith("raw_")][:SHOWN_MAX]
    return ", ".join(
        f"{one.kind} "
        + ("no value" if math.isnan(one.value) else f"{one.value:g} {KINDS[one.kind].unit}".rstrip())
        for one in told
    )


def _wrong(troubles: "list[Trouble]", fine: "set[Link]") -> Iterator[str]:
    """In words. Where others answer well (`fine`), baud and parity are right: garbled is two at once."""
    unread: dict[Link, list[Trouble]] = {}
    for one in troubles:
        if one.what == "twins" or (one.what == "garbled" and one.link in fine and one.unit is not None):
            yield f"At {one.link} two devices answer as unit {one.unit}: give one another address."
        elif one.what == "garbled":
            unread.setdefault(one.link, []).append(one)
        else:
            yield f"Somebody else asks on this bus at {one.link}, and unit {one.unit} answers: another gateway?"
            yield "  Nothing was asked, to disturb nobody. Stop it, then scan again."
    for link, heard in unread.items():
        units = [str(one.unit) for one in heard if one.unit is not None]
        when = f"when unit {', '.join(units[:8])} was asked" if units else "while nothing was asked"
        yield f"At {link} bytes came {when}, but never a whole frame: {heard[0].heard[:12].hex(' ')}"
        also = ", or two devices have one address" if units else ""
        yield f"  The baud or the parity is likely wrong (--baud, --parity E, --full){also}."


def _nobody(plan: "Plan") -> list[str]:
    tried = ", ".join(str(link) for link, _ in plan.steps)
    units = max((units for _, units in plan.steps), key=len)
    return [
        "Nothing answers. Look at, in this order:",
        "  1. power: does the device's light burn, are there volts at its terminals?",
        "  2. A and B: swap the two wires once; makers do not agree on the letters",
        f"  3. baud and parity: {tried} were tried; --full tries all usual ones",
        "  4. termination: 120 ohm at both ends of the bus, not at every device; is GND connected?",
        f"  5. the address: {len(units)} were asked; look at its switches, or connect it alone",
    ]


def toml(path: str, found: "list[Found]", profiles: "dict[str, Profile]") -> list[str]:
    """A [[bus]] at the speed of most devices, a [[sensor]] for each; what does not fit on it as a comment."""
    link = Counter(one.link for one in found).most_common(1)[0][0]
    lines = ["[[bus]]", 'id = "bus-1"', f'port = "serial:{path}"', f"baud = {link.baud}"]
    lines.append(f'framing = "{link.framing}"')
    for one in found:
        at = "the sensor that talks by itself" if one.unit is None else f"unit {one.unit}"
        if one.link != link:
            lines += [
                "",
                f"# {at} ({_is(one)}) answers at {one.link}: set it to {link}, or give it its own bus",
            ]
        elif not one.matches:
            lines += ["", f"# {at} {_is(one)}: write a device file for it, devices/NAME.toml beside the site"]
        else:
            lines += ["", *_sensor(one, profiles[one.matches[0].name])]
    return lines


def _sensor(found: "Found", profile: "Profile") -> Iterator[str]:
    name = found.matches[0].name
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:28]
    others = ", ".join(match.name for match in found.matches[1:])
    doubt = "" if found.is_certain else f"# could be this{f', or {others}' if others else ''}: compare"
    yield "[[sensor]]"
    yield f'id = "{plain}{"" if found.unit is None else f"-{found.unit}"}"'.ljust(34) + "# what you call it"
    yield f'device = "{name}"'.ljust(34 if doubt else 0) + doubt
    yield 'bus = "bus-1"'
    if found.unit is not None:
        yield f"unit = {found.unit}"
    yield 'place = "ngo-5"'.ljust(34) + "# the id of a [[place]]"
    if any(value.kind == "distance_m" for value in profile.value):
        yield "# mount_height_m = 3.20".ljust(34) + "# from the street to the sensor: gives depth_m"
    if profile.inputs is not None:
        kind = "relay" if profile.inputs.table == "coil" else "door_contact"
        yield "input = 1".ljust(34) + "# a [[sensor]] for each input that is used"
        yield f'kind = "{kind}"'.ljust(34) + "# what hangs on it: smoke_contact, call_point, ..."
