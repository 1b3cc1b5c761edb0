"""`wardwatch check SITE.toml`: every mistake at once, and what the gateway will do.

Opens no port and no server; it only reads files. With problems it prints them and exits with 2. Without, it
prints what a technician compares with the ladder: buses with their speed, units with their DIP switches,
inputs with what hangs on them, which alarm hears which sensor, and who is told.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge import problems

if TYPE_CHECKING:  # imported on use: `check --help` stays quick
    from drivers.registers import Device
    from edge.admission import Worst
    from edge.config import Config
    from models.site import Alarm, Sensor, Site


@click.command()
@click.argument("site", type=click.Path(path_type=Path))
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="State folder of this gateway: also say what the new configuration does to what is kept there.",
)
def command(site: Path, state: Path | None) -> None:
    """Read SITE back: every mistake with what to write instead, then what the gateway will do.

    Opens nothing. What is only absent on this machine (an adapter, a credential) is a notice. Exit code 2
    when there are problems.
    """
    from edge import config as configuration

    config, found = configuration.load(site)
    if config is not None and state is not None:
        from edge import old_state

        found += old_state.notices(config, state)
    problems.show(found, err=False)
    if config is not None:
        click.echo("\n".join(summary(config)) + "\n")
    n_wrong = len({p for p in found if not p.is_notice})
    n_notices = len({p for p in found if p.is_notice})
    verdict = "wrong" if n_wrong else "fine"
    counts = f"{problems.count(n_wrong, 'problem')}, {problems.count(n_notices, 'notice')}"
    click.echo(f"{site.name}: {verdict} ({counts})")
    sys.exit(2 if n_wrong else 0)


def summary(config: "Config") -> list[str]:
    """What this gateway will do, as lines of at most about 100 characters."""
    from edge import admission

    site = config.site
    lines = [f"GATEWAY {site.gateway.id} at {_place(site, site.gateway.place)}, {site.ward.name}"]
    lines.append(f"configuration {config.fingerprint[:19]}")
    for bus in site.bus:
        share = admission.share(bus, config.devices)
        lines += [
            "",
            f"BUS {bus.id}  {bus.port}  {bus.baud} {bus.framing}  (polls need >= {share:.0%} of its time)",
        ]
        on_it = sorted((d for d in config.devices if d.bus == bus.id), key=lambda d: d.unit)
        lines += _table(
            ["unit", "switches", "device", "every", "input", "sensor", "what", "place"], _units(site, on_it)
        )
    data_only = [sensor.id for sensor in site.sensor if sensor.bus is None]
    if data_only:
        lines += ["", f"NOT READ (data only): {', '.join(data_only)}"]
    lines += ["", "ALARMS"]
    lines += _table(["alarm", "place", "judges", "limits"], [_alarm(config, alarm) for alarm in site.alarm])
    worst = admission.worst(site, config.devices)
    if worst:
        lines += ["", "A FIRE IS READ AT THE LATEST, with every other device of its bus dead"]
        lines += _table(["place", "bus", "unit", "within", "a lost frame adds"], _worst(site, worst))
    lines += ["", "TOLD TO"]
    lines += _table(
        ["notifier", "way", "ready"], [_notifier(config, notifier.id) for notifier in site.notifier]
    )
    if site.sink:
        lines += ["", "SENDS DATA TO"]
        lines += _table(["sink", "kind", "to", "credential"], [_sink(config, sink.id) for sink in site.sink])
    return lines


def switches(unit: int) -> str:
    """A Modbus address as an 8-way DIP switch, switch 1 (worth 1) on the left; 1 = on.

    >>> switches(9)
    '1001 0000'
    """
    bits = "".join("1" if unit >> i & 1 else "0" for i in range(8))
    return f"{bits[:4]} {bits[4:]}"


def _place(site: "Site", id: str) -> str:
    place = next(p for p in site.place if p.id == id)
    return f"{place.name}{' ' + place.floor if place.floor else ''}"


def _units(site: "Site", devices: "Sequence[Device]") -> Iterator[list[str]]:
    for device in devices:
        every = "as fast as possible" if device.period_s == "max" else f"{device.period_s:g} s"
        head = [str(device.unit), switches(device.unit), device.name, every]
        for sensor in sorted(device.sensors, key=lambda s: s.input or 0):
            number = "" if sensor.input is None else str(sensor.input)
            yield [*head, number, sensor.id, _what(device, sensor), _place(site, sensor.place)]
            head = ["", "", "", ""]


def _what(device: "Device", sensor: "Sensor") -> str:
    from edge import fit

    words = ", ".join(sorted(fit.kinds(sensor, device.profile)))
    marks = [
        word for word, is_set in (("inverted", sensor.invert), ("certified", sensor.certified)) if is_set
    ]
    return f"{words} ({', '.join(marks)})" if marks else words


def _worst(site: "Site", worst: "Sequence[Worst]") -> Iterator[list[str]]:
    for one in worst:
        places = ", ".join(_place(site, place) for place in one.places)
        yield [places, one.bus, str(one.unit), f"{one.read_s:.1f} s", f"{one.lost_s:.1f} s"]


def _alarm(config: "Config", alarm: "Alarm") -> list[str]:
    from models.reading import KINDS
    from models.site_alarms import fire_sensors

    site = config.site
    if alarm.place is None:
        name, _, kind = (alarm.channel or "").partition("/")
        sensor = next(s for s in site.sensor if s.id == name)
        sign = ">=" if alarm.direction == "above" else "<="
        limits = ", ".join(f"{level:g}" for level in alarm.levels)
        return [
            alarm.id,
            _place(site, sensor.place),
            alarm.channel or "",
            f"{sign} {limits} {KINDS[kind].unit}".rstrip(),
        ]
    heard = ", ".join(fire_sensors(site, alarm))
    return [alarm.id, _place(site, alarm.place), heard, "one certified, or two contacts, confirm"]


def _sink(config: "Config", id: str) -> list[str]:
    sink = next(one for one in config.site.sink if one.id == id)
    has = (
        "none"
        if sink.credential is None
        else "here"
        if sink.credential in config.credentials
        else "ABSENT here"
    )
    return [id, sink.kind, ", ".join(sink.urls), has]


def _notifier(config: "Config", id: str) -> list[str]:
    notifier = next(n for n in config.site.notifier if n.id == id)
    if notifier.kind in ("siren", "sms"):
        return [id, notifier.kind, "not yet: comes with a later version"]
    credential = config.credentials.get(notifier.credential or "")
    if notifier.kind == "apprise" or notifier.url is None:
        is_ready = credential is not None and credential.url is not None
        return [id, notifier.kind, "yes" if is_ready else "NO: its credential with the url is absent here"]
    return [
        id,
        notifier.kind,
        "yes, signed" if credential and credential.key else "yes, but UNSIGNED: no key here",
    ]


def _table(head: list[str], rows: "Iterator[list[str]] | list[list[str]]") -> list[str]:
    """Aligned columns; columns without any content are left out."""
    body = list(rows)
    if not body:
        return ["  none"]
    kept = [i for i in range(len(head)) if any(row[i] for row in body)]
    widths = [max(len(row[i]) for row in [head, *body]) for i in kept]
    return [
        ("  " + "  ".join(row[i].ljust(width) for i, width in zip(kept, widths, strict=True))).rstrip()
        for row in [head, *body]
    ]
