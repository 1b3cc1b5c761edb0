"""Whether a site fits its devices: what `models.site` cannot know because it stands in device profiles.

A device either has values of its own or equal inputs; the site says what hangs on an input. `problems` gives
what is wrong and what is worth knowing, with the same paths as the site's own problems. Nothing is opened or
asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from drivers import profile as profiles_module
from drivers.profile import Profile
from models import plain, site_sensors
from models.problem import Problem
from models.reading import CONTACTS, DERIVED_ONLY, KINDS, Hazard
from models.site import Bus, Sensor
from models.site_alarms import places_within
from models.site_rules import Row, Tables
from models.site_sensors import RECORDED

# Judged for fire by later rules; shown already.
ANALOGUE_FIRE = frozenset({"smoke_db_m", "temperature_c", "co_ppm"})


def problems(tables: Tables, profiles: Mapping[str, Profile], broken: Sequence[str]) -> list[Problem]:
    """What does not fit. `broken`: names of device files that have problems of their own."""
    found: list[Problem] = []
    buses = {row.item.id: row for row in tables.bus}
    rows = [row for row in tables.sensor if row.item.device and row.item.device != RECORDED]
    for row in rows:
        device = row.item.device
        if device in profiles:
            profile, of_changes = _changed(row, profiles[device])
            found += of_changes
            found += _sensor(row, profile, buses.get(row.item.bus or ""))
        elif device not in broken:
            found.append(_no_device(row, profiles))
    found += _addresses(rows, profiles)
    found += _alarms(tables, profiles)
    found += _links(rows, profiles, buses)
    found += _alone(rows, profiles, buses)
    return list(dict.fromkeys(found))


def kinds(sensor: Sensor, profile: Profile) -> set[str]:
    """The kinds of a sensor's channels, the derived depth included. A `kind` chooses one of a device."""
    if sensor.kind is not None:
        own = {sensor.kind}
    else:
        own = {value.kind for value in profile.value} if profile.inputs is None else set()
    return own | ({"depth_m"} if "distance_m" in own and sensor.mount_height_m is not None else set())


def _no_device(row: Row[Sensor], profiles: Mapping[str, Profile]) -> Problem:
    device = row.item.device
    meant = plain.suggestion(device, profiles)
    advice = f'write device = "{meant}"' if meant else f"known: {plain.one_of(profiles)}"
    what = f"is {plain.shown(device)}, but no device file has that name"
    return Problem(
        f"{row.path}.device", what, f"{advice}; or put a device file into devices/ beside the site"
    )


def _changed(row: Row[Sensor], profile: Profile) -> tuple[Profile, list[Problem]]:
    """The profile with the site's own changes; as it is when they are wrong."""
    changes = row.item.profile
    if not changes or site_sensors.depth(changes) > site_sensors.PROFILE_DEPTH_MAX:
        return profile, []  # too deep: told by models.site_sensors
    changed, problems = profiles_module.override(profile, changes, f"{row.path}.profile")
    return changed or profile, problems


def _sensor(row: Row[Sensor], profile: Profile, bus: Row[Bus] | None) -> Iterator[Problem]:
    sensor, path = row.item, row.path
    own = {value.kind for value in profile.value}
    if profile.inputs is not None:
        yield from _input(row, profile)
    elif sensor.input is not None:
        yield Problem(f"{path}.input", f"has no meaning: {sensor.device} has no inputs", "remove input")
    elif sensor.kind in KINDS and sensor.kind not in own:
        what = f"is {sensor.kind}, which {sensor.device} does not give"
        yield Problem(f"{path}.kind", what, f"use one of: {plain.one_of(own)}; without kind all are read")
    if sensor.mount_height_m is not None and "distance_m" not in kinds(sensor, profile):
        what = f"has no effect: {sensor.device} gives no distance"
        yield Problem(f"{path}.mount_height_m", what, "remove mount_height_m", is_notice=True)
    if sensor.unit is None and profile.uart is None:
        what = f"is taken from the device file: {profile.link.unit}"
        instead = f"write unit = {profile.link.unit}, so that it can be compared with the switches"
        yield Problem(f"{path}.unit", what, instead, is_notice=True)
    if bus is not None and bus.item.framing.startswith("7") and profile.uart is None:
        what = f"is {bus.item.framing}: Modbus RTU needs 8 data bits"
        yield Problem(f"{bus.path}.framing", what, f'write framing = "{profile.link.framing}"')


def _input(row: Row[Sensor], profile: Profile) -> Iterator[Problem]:
    sensor, path, inputs = row.item, row.path, profile.inputs
    assert inputs is not None  # asked by the caller
    if sensor.input is None:
        what = f"is missing: {sensor.device} has {inputs.count} inputs"
        yield Problem(f"{path}.input", what, "write input = 1 (counted from 1) and its kind")
    elif sensor.input > inputs.count:
        what = f"is {sensor.input}, but {sensor.device} has {inputs.count} inputs"
        yield Problem(f"{path}.input", what, f"write 1 to {inputs.count}, as printed on the module")
    if inputs.type != "bit":
        return
    if sensor.kind in KINDS and sensor.kind not in CONTACTS and sensor.kind not in DERIVED_ONLY:
        what = f"is {sensor.kind}, but the inputs of {sensor.device} are contacts"
        yield Problem(f"{path}.kind", what, f"use one of: {plain.one_of(CONTACTS)}")
    elif sensor.span is not None:
        what = f"has no meaning: the inputs of {sensor.device} are contacts"
        yield Problem(f"{path}.span", what, "remove span and to")


def _addresses(rows: Sequence[Row[Sensor]], profiles: Mapping[str, Profile]) -> list[Problem]:
    """Addresses used twice, once the factory's addresses are filled in."""
    filled = [
        replace(row, item=row.item.model_copy(update={"unit": profiles[row.item.device].link.unit}))
        if row.item.unit is None and row.item.device in profiles
        else row
        for row in rows
    ]
    return list(site_sensors.addresses(filled))


def _alone(
    rows: Sequence[Row[Sensor]], profiles: Mapping[str, Profile], buses: Mapping[str, Row[Bus]]
) -> Iterator[Problem]:
    """A sensor that speaks frames of its own shares its line with nobody, and its line is no Modbus TCP endpoint."""
    first: dict[str, Row[Sensor]] = {}
    for row in rows:
        profile = profiles.get(row.item.device)
        bus = buses.get(row.item.bus or "")
        if profile is None or bus is None:
            continue
        before = first.setdefault(bus.item.id, row)
        pair = (before.item.device, row.item.device)
        is_uart = any(profiles[name].uart is not None for name in pair if name in profiles)
        is_same = pair[0] == pair[1] and (before.item.unit or 0) == (row.item.unit or 0)
        if is_uart and before is not row and not is_same:
            what = f"is on {bus.path} with {before.item.id}, but a UART sensor is alone on its line"
            yield Problem(f"{row.path}.bus", what, "give it a [[bus]] of its own")
        if profile.uart is not None and bus.item.port.startswith("tcp:"):
            what = "is Modbus TCP, which a UART sensor does not speak"
            yield Problem(f"{bus.path}.port", what, "rtu-tcp:HOST:PORT hands the bytes of a serial server on")


def _alarms(tables: Tables, profiles: Mapping[str, Profile]) -> Iterator[Problem]:
    sensors = {row.item.id: row for row in tables.sensor}
    parents = {row.item.id: row.item.inside for row in tables.place}
    for row in tables.alarm:
        alarm = row.item
        if alarm.hazard == Hazard.FIRE and alarm.place:
            yield from _analogue(row.path, places_within(alarm.place, parents), tables, profiles)
        name, _, kind = (alarm.channel or "").partition("/")
        sensor = sensors.get(name)
        if sensor is None or kind not in KINDS or sensor.item.device not in profiles:
            continue
        profile = profiles[sensor.item.device]
        given = kinds(sensor.item, profile)
        if kind in given or kind in DERIVED_ONLY or profile.inputs is not None:
            continue
        if kind == "depth_m" and "distance_m" in given:
            what = "is missing: the depth is worked out from the distance to the street"
            instead = "write mount_height_m = ... (metres from the street to the sensor)"
            yield Problem(f"{sensor.path}.mount_height_m", what, instead)
        else:
            what = f"names {kind}, which {sensor.item.device} does not give"
            yield Problem(f"{row.path}.channel", what, f"use one of: {plain.one_of(given)}")


def _analogue(
    path: str, within: set[str], tables: Tables, profiles: Mapping[str, Profile]
) -> Iterator[Problem]:
    for row in tables.sensor:
        sensor = row.item
        if sensor.place not in within or sensor.device not in profiles:
            continue
        seen = sorted(kinds(sensor, profiles[sensor.device]) & ANALOGUE_FIRE)
        if seen:
            what = f"does not judge {row.path}/{', '.join(seen)} yet: it is shown, contacts are judged"
            yield Problem(path, what, "", is_notice=True)


def _links(
    rows: Sequence[Row[Sensor]], profiles: Mapping[str, Profile], buses: Mapping[str, Row[Bus]]
) -> Iterator[Problem]:
    """What a technician must have changed on a device before it answers, and maps that nobody has proven."""
    told: set[str] = set()
    for row in rows:
        profile = profiles.get(row.item.device)
        bus = buses.get(row.item.bus or "")
        if profile is None:
            continue
        if profile.confidence == "unproven" and row.item.device not in told:
            told.add(row.item.device)
            what = "is unproven: its register map was never compared with a real device"
            yield Problem(
                f"devices.{row.item.device}", what, "compare the first values by hand", is_notice=True
            )
        if bus is None or bus.item.port.startswith("tcp:") or not bus.item.port:
            continue
        factory = (profile.link.baud, profile.link.framing)
        if factory != (bus.item.baud, bus.item.framing):
            what = (
                f"leaves the factory with {factory[0]} {factory[1]}, {bus.path} has {bus.item.baud} "
                f"{bus.item.framing}: it answers only after it was set to that"
            )
            yield Problem(f"{row.path}.device", what, "", is_notice=True)
