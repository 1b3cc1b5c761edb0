"""A site file: what is accepted, what is refused, and that every refusal says what to write instead."""

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.problem import Problem
from models.site import Site, parse

EXAMPLE = Path(__file__).parent.parent / "deploy" / "site.example.toml"
GONE = object()


def example() -> dict[str, Any]:
    return tomllib.loads(EXAMPLE.read_text("utf-8"))


def edited(*changes: tuple[str, Any]) -> dict[str, Any]:
    """The example with values put at dotted paths (by id, or `place[1].lat`); GONE = deleted."""
    site = example()
    for path, value in changes:
        parts = path.split(".")
        at: Any = site
        for part in parts[:-1]:
            if isinstance(at, list):
                label = "name" if "may" in at[0] else "id"
                at = next(row for row in at if row[label] == part)
            elif part.endswith("]"):
                name, _, i = part[:-1].partition("[")
                at = at[name][int(i) - 1]
            else:
                at = at.setdefault(part, {})
        if value is GONE:
            del at[parts[-1]]
        elif parts[-1] == "+":
            at.append(value)
        else:
            at[parts[-1]] = value
    return site


def wrong(data: dict[str, Any]) -> list[Problem]:
    site, problems = parse(data)
    real = [p for p in problems if not p.is_notice]
    assert (site is None) == bool(real)
    return real


def test_the_example_is_a_site_with_every_value_where_it_belongs() -> None:
    site, problems = parse(example())
    assert isinstance(site, Site)
    assert all(p.is_notice for p in problems)
    assert site.gateway.id == "xd-gw-07"
    assert [p.inside for p in site.place] == [None, "ngo-5", None]
    smoke = next(s for s in site.sensor if s.id == "khoi-5-12")
    assert (smoke.bus, smoke.unit, smoke.input, smoke.kind) == ("rs485-1", 9, 1, "smoke_contact")
    assert site.alarm[0].levels == (0.05, 0.15, 0.30, 0.50)
    assert site.sink[1].start == "now"
    assert site.limits.repeat_s == 180


def test_what_is_left_out_has_the_printed_default() -> None:
    site, problems = parse(
        {
            "schema": 1,
            "ward": {"id": "w", "name": "W"},
            "gateway": {"id": "g", "place": "p"},
            "place": [{"id": "p", "name": "P"}],
            "bus": [{"id": "b", "port": "virtual:b"}],
            "sensor": [{"id": "s", "device": "xy-md02", "bus": "b", "place": "p"}],
            "alarm": [{"id": "a", "hazard": "air", "channel": "s/temperature_c", "levels": [40]}],
        }
    )
    assert site is not None, problems
    assert (site.ward.zone, site.ward.language, site.web) == ("Asia/Ho_Chi_Minh", "vi", None)
    assert (site.bus[0].baud, site.bus[0].framing, site.bus[0].in_flight) == (9600, "8N1", 1)
    assert site.sensor[0].period_s == 2.0
    assert (site.alarm[0].direction, site.alarm[0].on_s, site.alarm[0].latch) == ("above", 0.0, None)
    assert (site.limits.spool_mb, site.limits.keep_h, site.limits.fire_within_s) == (512, 24, 10.0)


SMOKE, LEVEL, FLOOD, FIRE = (
    "sensor.khoi-5-12",
    "sensor.ngo-12-level",
    "alarm.ngo-12-flood",
    "alarm.ngo-5-fire",
)
DEEP: dict[str, Any] = {"a": {"b": {"c": {"d": {"e": 1}}}}}
SENSOR_2 = {"id": "th-2", "device": "xy-md02", "bus": "rs485-1", "unit": 12, "place": "ngo-5"}

# (change, path of the problem, a piece of what is said, a piece of what to write instead)
REFUSED: list[tuple[str, Any, str, str, str]] = [
    # keys: misspelt, foreign, in the wrong table, with the wrong unit or none
    (f"{FLOOD}.leves", [1], f"{FLOOD}.leves", "not a key", "write levels"),
    (f"{SMOKE}.period_ms", 500, f"{SMOKE}.period_ms", "unit", "write period_s = 0.5"),
    (f"{SMOKE}.period", 2, f"{SMOKE}.period", "unit", "write period_s = 2 if that is in seconds"),
    (f"{LEVEL}.mount_height_cm", 320, f"{LEVEL}.mount_height_cm", "unit", "write mount_height_m = 3.2"),
    (f"{LEVEL}.mountHeightMm", 3200, f"{LEVEL}.mountHeightMm", "unit", "write mount_height_m = 3.2"),
    (f"{FLOOD}.on_min", 1, f"{FLOOD}.on_min", "unit", "write on_s = 60"),
    (f"{FLOOD}.ahead_h", 1, f"{FLOOD}.ahead_h", "unit", "write ahead_min = 60"),
    ("limits.keep_days", 2, "limits.keep_days", "unit", "write keep_h = 48"),
    (f"{FIRE}.repeat_s", 60, f"{FIRE}.repeat_s", "not a key", "belongs in [limits]"),
    (f"{SMOKE}.slave_id", 9, f"{SMOKE}.slave_id", "not a key", "write unit"),
    ("bus.rs485-1.baudrate", 9600, "bus.rs485-1.baudrate", "not a key", "write baud"),
    ("place.ngo-5.latitude", 21.0, "place.ngo-5.latitude", "not a key", "write lat"),
    ("place.ngo-5-12.inside", "ngo-5", "place.ngo-5-12.inside", "not a key", "write in"),
    ("notifier.duty-hook.password", "s3cret", "notifier.duty-hook.password", "not a key", "write credential"),
    (f"{SMOKE}.zzz", 1, f"{SMOKE}.zzz", "not a key", "known: bus"),
    ("ward.a b\x1b", 1, 'ward."a b?"', "not a key", "remove it"),  # no control character reaches a terminal
    ("sensors", [], "sensors", "not a table", "write [[sensor]]"),
    ("gatway", {}, "gatway", "not a table", "write [gateway]"),
    ("repeat_s", 60, "repeat_s", "not a table", "belongs in [limits]"),
    # tables: missing, single where many, many where single, no table
    ("schema", GONE, "schema", "missing", "schema = 1"),
    ("schema", 2, "schema", "reads 1", "schema = 1"),
    ("schema", True, "schema", "reads 1", "schema = 1"),
    ("ward", GONE, "ward", "missing", "[ward]"),
    ("gateway", [{}], "gateway", "not one table", "[gateway]"),
    ("bus", {"id": "x", "port": "virtual:x"}, "bus", "not a list", "[[bus]]"),
    ("place", "ngo-5", "place", "not a list", "[[place]]"),
    ("place", ["ngo-5"], "place[1]", "not a table", "[[place]]"),
    # required keys
    (
        "sensor.+",
        {"device": "di-8", "place": "ngo-5", "bus": "rs485-1", "unit": 3},
        "sensor[4].id",
        "missing",
        "id =",
    ),
    (f"{SMOKE}.device", GONE, f"{SMOKE}.device", "missing", "device ="),
    (f"{SMOKE}.place", GONE, f"{SMOKE}.place", "missing", "place ="),
    (f"{SMOKE}.bus", GONE, f"{SMOKE}.bus", "missing", "rs485-1"),
    ("bus.rs485-1.port", GONE, "bus.rs485-1.port", "missing", "serial:"),
    (f"{FIRE}.hazard", GONE, f"{FIRE}.hazard", "missing", "fire"),
    (f"{FIRE}.place", GONE, f"{FIRE}.place", "missing", "place ="),
    (f"{FLOOD}.channel", GONE, f"{FLOOD}.channel", "missing", "sensor/kind"),
    (f"{FLOOD}.levels", GONE, f"{FLOOD}.levels", "missing", "levels = ["),
    ("author.ward-desk.may", GONE, "author.ward-desk.may", "missing", "may = ["),
    # types
    (f"{SMOKE}.unit", "9", f"{SMOKE}.unit", "text", "write unit = 9 (no quotes)"),
    (f"{SMOKE}.unit", 9.5, f"{SMOKE}.unit", "whole number", "unit = 12"),
    (f"{SMOKE}.unit", True, f"{SMOKE}.unit", "true", "unit = 12"),
    (f"{SMOKE}.period_s", "fast", f"{SMOKE}.period_s", "", '"max"'),
    (f"{SMOKE}.period_s", True, f"{SMOKE}.period_s", "true", "period_s = 0.5"),
    (f"{SMOKE}.invert", 1, f"{SMOKE}.invert", "not true or false", "write invert = true"),
    (f"{SMOKE}.certified", "no", f"{SMOKE}.certified", "not true or false", "write certified = false"),
    ("place.ngo-5.name", 5, "place.ngo-5.name", "not text", "name ="),
    ("place.ngo-5.lat", "21.07", "place.ngo-5.lat", "not a number", "write lat = 21.07 (no quotes)"),
    (f"{FLOOD}.levels", 0.3, f"{FLOOD}.levels", "not a list", "levels = ["),
    (f"{FLOOD}.levels", [0.1, "0.2"], f"{FLOOD}.levels[2]", "text", ""),
    (f"{FLOOD}.levels", [0.1, float("nan")], f"{FLOOD}.levels[2]", "nan", "levels = ["),
    (f"{FLOOD}.deadband", float("inf"), f"{FLOOD}.deadband", "nan", "write deadband = 0"),
    (f"{LEVEL}.calibration.ofset", 0.1, f"{LEVEL}.calibration.ofset", "not a key", ""),
    (f"{LEVEL}.calibration.offset", "0.1", f"{LEVEL}.calibration.offset", "text", "write offset = 0.1"),
    (f"{LEVEL}.calibration", 3, f"{LEVEL}.calibration", "not a table", "{"),
    (f"{LEVEL}.calibration.scale", 0, f"{LEVEL}.calibration.scale", "same", "1.0"),
    (f"{LEVEL}.profile", DEEP, f"{LEVEL}.profile", "deeper", "device file"),
    # ids and names
    ("place.ngo-12.id", "Ngõ 12", "place[3].id", "a-z", '"ngo-12"'),
    ("gateway.id", "-gw", "gateway.id", "a-z", '"gw"'),
    ("gateway.id", "g" * 33, "gateway.id", "1 to 32", ""),
    ("place.+", {"id": "ngo-5", "name": "Other"}, "place[4].id", "used twice", "of its own"),
    ("place.ngo-5.name", "Ngo\u0303 5", "place.ngo-5.name", "NFC", "NFC"),
    ("place.ngo-5.name", "Ngõ\x1b[2J 5", "place.ngo-5.name", "control", "again"),
    ("place.ngo-5.name", "Ngõ\u202e5", "place.ngo-5.name", "invisible", "again"),
    ("place.ngo-5.name", "x" * 41, "place.ngo-5.name", "at most 40", "shorten"),
    ("place.ngo-5.name", " ", "place.ngo-5.name", "empty", ""),
    ("ward.name", "a\nb", "ward.name", "control", ""),
    # places
    ("gateway.place", "ngo-6", "gateway.place", "no [[place]]", '"ngo-5"'),
    ("place.ngo-5-12.in", "ngo-55", "place.ngo-5-12.in", "no [[place]]", '"ngo-5"'),
    ("place.ngo-5.in", "ngo-5-12", "place.ngo-5.in", "circle", "in"),
    ("place.ngo-5.in", "ngo-5", "place.ngo-5.in", "circle", "in"),
    ("place.ngo-5.lat", 91, "place.ngo-5.lat", "at most 90", "degrees"),
    ("place.ngo-5.lon", -181.0, "place.ngo-5.lon", "at least -180", "degrees"),
    ("place.ngo-5.lon", GONE, "place.ngo-5.lon", "missing", "lon"),
    # buses
    ("bus.rs485-1.port", "/dev/ttyUSB0", "bus.rs485-1.port", "sort of port", '"serial:"'),
    ("bus.rs485-1.port", "serial:ttyUSB0", "bus.rs485-1.port", "full path", "by-path"),
    ("bus.rs485-1.port", "tcp:10.0.0.2", "bus.rs485-1.port", "HOST:PORT", "502"),
    ("bus.rs485-1.port", "rtu-tcp:10.0.0.2:99999", "bus.rs485-1.port", "HOST:PORT", "8899"),
    ("bus.rs485-1.port", "virtual:A B", "bus.rs485-1.port", "virtual", "virtual:"),
    ("bus.rs485-1.port", "udp:x:1", "bus.rs485-1.port", "sort of port", "tcp:"),
    ("bus.rs485-1.baud", 9601, "bus.rs485-1.baud", "usual speed", "9600"),
    ("bus.rs485-1.framing", "N81", "bus.rs485-1.framing", "parity", "8N1"),
    ("bus.rs485-1.in_flight", 4, "bus.rs485-1.in_flight", "tcp:", "remove"),
    ("bus.rs485-1.in_flight", 9, "bus.rs485-1.in_flight", "at most 8", "1 to 8"),
    # sensors: references, addresses, inputs, kinds
    (f"{SMOKE}.place", "ngo-5-13", f"{SMOKE}.place", "no [[place]]", '"ngo-5-12"'),
    (f"{SMOKE}.bus", "rs485-2", f"{SMOKE}.bus", "no [[bus]]", '"rs485-1"'),
    (f"{LEVEL}.unit", 248, f"{LEVEL}.unit", "1 to 247", "switches"),
    (f"{LEVEL}.unit", 9, f"{SMOKE}.unit", "used twice", "one unit is one device"),
    ("sensor.+", SENSOR_2, "sensor.th-2.unit", "used twice", "switches"),
    (f"{SMOKE}.input", 4, "sensor.nut-5-12.input", "used twice", "really"),
    (f"{SMOKE}.input", 0, f"{SMOKE}.input", "at least 1", "from 1"),
    (f"{SMOKE}.kind", GONE, f"{SMOKE}.kind", "missing", "smoke_contact"),
    (f"{SMOKE}.input", GONE, f"{SMOKE}.input", "missing", "input = 1"),
    (f"{SMOKE}.kind", "smoke", f"{SMOKE}.kind", "not a kind", "smoke_"),
    (f"{SMOKE}.kind", "vn_aqi", f"{SMOKE}.kind", "worked out", "measures"),
    (f"{LEVEL}.invert", True, f"{LEVEL}.invert", "needs an input", "remove invert"),
    (f"{SMOKE}.span", [4, 20], f"{SMOKE}.to", "belong together", "to ="),
    (f"{LEVEL}.mount_height_m", -1, f"{LEVEL}.mount_height_m", "more than 0", "metres"),
    (f"{SMOKE}.period_s", 0, f"{SMOKE}.period_s", "at least 0.01", "0.5"),
    (f"{LEVEL}.device", "recorded", f"{LEVEL}.bus", "only as data", "remove bus"),
    # alarms
    (f"{FLOOD}.hazard", "flod", f"{FLOOD}.hazard", "not in the list", 'hazard = "flood"'),
    (f"{FLOOD}.channel", "ngo-12-level", f"{FLOOD}.channel", "not sensor/kind", "ngo-12-level/depth_m"),
    (f"{FLOOD}.channel", "ngo-21-level/depth_m", f"{FLOOD}.channel", "no [[sensor]]", '"ngo-12-level"'),
    (f"{FLOOD}.channel", "ngo-12-level/dept_m", f"{FLOOD}.channel", "not a kind", "ngo-12-level/depth_m"),
    (
        f"{FLOOD}.channel",
        "khoi-5-12/depth_m",
        f"{FLOOD}.channel",
        "gives smoke_contact",
        "khoi-5-12/smoke_contact",
    ),
    (f"{FLOOD}.channel", "ngo-12-level/vn_aqi", f"{FLOOD}.channel", "later version", "remove"),
    (f"{FLOOD}.levels", [0.3, 0.1], f"{FLOOD}.levels", "do not rise", "levels = [0.1, 0.3]"),
    (f"{FLOOD}.levels", [0.1, 0.1], f"{FLOOD}.levels", "do not rise", "levels = [0.1]"),
    (f"{FLOOD}.direction", "below", f"{FLOOD}.levels", "do not fall", "levels = [0.5, 0.3, 0.15, 0.05]"),
    (f"{FLOOD}.direction", "over", f"{FLOOD}.direction", "not in the list", '"above"'),
    (f"{FLOOD}.levels", [], f"{FLOOD}.levels", "too few", "levels = ["),
    (f"{FLOOD}.deadband", 0.2, f"{FLOOD}.deadband", "step", "less than 0.1"),
    (f"{FLOOD}.on_s", -1, f"{FLOOD}.on_s", "at least 0", ""),
    (f"{FLOOD}.place", "ngo-12", f"{FLOOD}.place", "one channel", "remove place"),
    (f"{FLOOD}.priority", 5, f"{FLOOD}.priority", "1 (most urgent) to 4", ""),
    (f"{FLOOD}.priority", [1, 2], f"{FLOOD}.priority", "2 entries for 4", "each level"),
    (f"{FIRE}.levels", [1], f"{FIRE}.levels", "no meaning", "remove levels"),
    (f"{FIRE}.channel", "khoi-5-12/smoke_contact", f"{FIRE}.channel", "no meaning", "remove channel"),
    (f"{FIRE}.place", "ngo-12", f"{FIRE}.place", "never rise", "smoke_contact"),
    (f"{FIRE}.place", "ngo-9", f"{FIRE}.place", "no [[place]]", '"ngo-5"'),
    # the north side
    ("web.listen", "0.0.0.0:9160", "web.listen", "open to the network", "127.0.0.1:9160"),
    ("web.listen", "9160", "web.listen", "HOST:PORT", "127.0.0.1:9160"),
    ("sink.ward-mqtt.urls", ["http://broker"], "sink.ward-mqtt.urls[1]", "not the address", "mqtts://"),
    ("sink.ward-mqtt.urls", ["mqtt://u:pw@broker"], "sink.ward-mqtt.urls[1]", "password", "credential"),
    ("sink.ward-mqtt.urls", [], "sink.ward-mqtt.urls", "too few", "urls = ["),
    ("sink.ward-mqtt.org", "x", "sink.ward-mqtt.org", "no meaning", "remove org"),
    ("sink.ward-influx.bucket", GONE, "sink.ward-influx.bucket", "missing", "bucket ="),
    ("sink.ward-influx.from", "new", "sink.ward-influx.from", "not in the list", 'from = "now"'),
    ("sink.ward-mqtt.credential", "../x", "sink.ward-mqtt.credential", "not the name", "credentials/NAME"),
    ("notifier.duty-hook.kind", "web", "notifier.duty-hook.kind", "not in the list", "webhook"),
    ("notifier.duty-hook.url", "http://duty.ward/x", "notifier.duty-hook.url", "not encrypted", "https://"),
    ("notifier.duty-hook.url", "duty.ward", "notifier.duty-hook.url", "not a web address", "https://"),
    ("notifier.duty-hook.url", "https://d/x?token=a", "notifier.duty-hook.url", "token", "credential"),
    ("notifier.duty-hook.url", "https://u:p@d/x", "notifier.duty-hook.url", "password", "credential"),
    (
        "notifier.duty-hook.url",
        "https://hooks.chat/services/T0/B0/aB3dE5gH7jK9mN1pQ3sT5vX7",
        "notifier.duty-hook.url",
        "token",
        "credential",
    ),
    (
        "notifier.duty-hook.url",
        "https://api.telegram.org/bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/sendMessage",
        "notifier.duty-hook.url",
        "token",
        "credential",
    ),
    ("notifier.duty-hook.kind", "apprise", "notifier.duty-hook.url", "reader", "credential"),
    ("notifier.duty-hook.sensor", "nut-5-12", "notifier.duty-hook.sensor", "no meaning", "remove sensor"),
    ("author.ward-desk.key", "abc", "author.ward-desk.key", "base64", "Ed25519"),
    ("author.ward-desk.key", "AAAA", "author.ward-desk.key", "3 bytes", "32 bytes"),
    ("author.ward-desk.may", ["ack", "restart"], "author.ward-desk.may[2]", "not a command", "rese"),
    ("limits.spool_mb", 0, "limits.spool_mb", "at least 1", ""),
    ("limits.repeat_s", -1, "limits.repeat_s", "at least 10", ""),
]


@pytest.mark.parametrize(
    ("at", "value", "path", "what", "instead"), REFUSED, ids=[f"{r[0]}-{i}" for i, r in enumerate(REFUSED)]
)
def test_a_mistake_is_named_at_its_path_with_what_to_write_instead(
    at: str, value: Any, path: str, what: str, instead: str
) -> None:
    found = [p for p in wrong(edited((at, value))) if p.path == path]
    assert found, wrong(edited((at, value)))
    assert any(what in p.what and instead in p.instead for p in found), found


def test_every_refusal_says_what_to_write_instead() -> None:
    for at, value, *_ in REFUSED:
        for problem in wrong(edited((at, value))):
            assert problem.instead, problem


# One mistake that is really two, or that takes away what others refer to.
SEVERAL = {
    f"{LEVEL}.device",
    "bus",
    "place",
    "place.ngo-12.id",
    "place.ngo-5-12.in",
    "place.ngo-5.in",
    f"{LEVEL}.unit",
    f"{SMOKE}.input",
}


@pytest.mark.parametrize(("at", "value"), [row[:2] for row in REFUSED if row[0] not in SEVERAL])
def test_one_mistake_is_told_once(at: str, value: Any) -> None:
    # no second problem like "is missing" or "no such id" for a key that is written but wrong
    found = wrong(edited((at, value)))
    assert len(found) == 1, found


def test_all_mistakes_come_at_once_also_those_between_rows_that_have_a_mistake_of_their_own() -> None:
    found = wrong(
        edited(
            (f"{SMOKE}.period_ms", 500),  # the row has a wrong key,
            (f"{SMOKE}.place", "ngo-99"),  # and its reference is still checked
            (f"{LEVEL}.unit", 300),  # out of range,
            (f"{FLOOD}.levels", [0.5, 0.1]),
            ("place.ngo-12.name", 7),  # a place without a right name still exists for others
        )
    )
    assert {p.path for p in found} == {
        f"{SMOKE}.period_ms", f"{SMOKE}.place", f"{LEVEL}.unit", f"{FLOOD}.levels", "place.ngo-12.name",
    }  # fmt: skip


def test_a_row_without_a_usable_id_is_named_by_its_place_in_the_file_counted_from_one() -> None:
    found = wrong(edited((f"{LEVEL}.id", "Level 12"), (f"{SMOKE}.unit", "x")))
    assert "sensor[1].id" in {p.path for p in found}
    assert f"{SMOKE}.unit" in {p.path for p in found}


SECRETS = [
    ("notifier.duty-hook.url", "https://d.example/?token=PLANTED"),
    ("notifier.duty-hook.url", "https://PLANTED:PLANTED@d.example/"),
    ("notifier.duty-hook.url", "PLANTED"),
    ("notifier.duty-hook.token", "PLANTED"),  # under a key that does not exist
    ("notifier.duty-hook.credential", "PLANTED secret"),
    ("notifier.duty-hook.language", 7),
    ("sink.ward-influx.urls", ["https://u:PLANTED@x"]),
    ("author.ward-desk.key", "PLANTED"),
    ("author.ward-desk.key", ["PLANTED"]),
    ("limits.repeat_s", "PLANTED"),
]


@pytest.mark.parametrize(("at", "value"), SECRETS)
def test_no_text_that_may_be_a_secret_is_repeated(at: str, value: Any) -> None:
    found = wrong(edited((at, value)))
    assert found
    assert "PLANTED" not in repr(found)


def test_a_notifiers_url_stays_out_of_its_repr() -> None:
    site, _ = parse(example())
    assert site is not None
    assert "duty.ward" not in repr(site)


def notices(data: dict[str, Any]) -> dict[str, str]:
    site, problems = parse(data)
    assert site is not None, problems
    return {p.path: p.what + " " + p.instead for p in problems if p.is_notice}


SIREN = {"id": "siren-5", "kind": "siren", "sensor": "nut-5-12"}
CH340 = "serial:/dev/serial/by-id/usb-1a86_USB_Serial-if00-port0"

# (changes, path of the notice, a piece of it)
NOTED: list[tuple[list[tuple[str, Any]], str, str]] = [
    ([("alarm", [])], SMOKE, "feeds no alarm"),
    ([(f"{SMOKE}.place", "ngo-12")], SMOKE, "no fire alarm covers"),  # a house outside the lane
    ([("notifier", [])], "notifier", "nobody is told"),
    ([("notifier.+", SIREN)], "notifier.siren-5", "later version"),
    ([(f"{SMOKE}.period_s", 30)], f"{SMOKE}.period_s", "fire_within_s = 10"),
    ([("bus.rs485-1.port", CH340)], "bus.rs485-1.port", "by-path"),  # no serial number in the name
    ([("bus.rs485-1.port", "serial:/dev/ttyUSB0")], "bus.rs485-1.port", "by-path"),  # numbered as found
    (
        # CP2102 adapters leave the factory with the serial number 0001, all of them
        [
            (
                "bus.rs485-1.port",
                "serial:/dev/serial/by-id/usb-Silicon_Labs_CP2102_USB_to_UART_0001-if00-port0",
            )
        ],
        "bus.rs485-1.port",
        "by-path",
    ),
]


@pytest.mark.parametrize(("changes", "path", "text"), NOTED)
def test_what_is_worth_knowing_is_a_notice(changes: list[tuple[str, Any]], path: str, text: str) -> None:
    assert text in notices(edited(*changes)).get(path, "")


FINE: list[list[tuple[str, Any]]] = [
    [(f"{SMOKE}.period_s", "max")],
    [(f"{SMOKE}.period_s", 1)],  # a whole number is a number
    [(f"{SMOKE}.certified", True)],
    [("bus.rs485-1.port", "serial:/dev/ttyAMA0")],  # soldered to the board
    [("bus.rs485-1.port", "rtu-tcp:moxa.ward:8899")],
    [("bus.rs485-1.framing", "8E1")],
    [("web", GONE)],
    [("web.listen", "[::1]:9160")],
    [("notifier.duty-hook.url", "http://127.0.0.1:8080/hook")],
    [("notifier.duty-hook.url", "https://duty.ward/hooks/550e8400-e29b-41d4-a716-446655440000")],
    [("notifier.duty-hook.url", GONE)],  # then the credential holds it
    [(f"{FLOOD}.priority", [4, 3, 2, 1])],
    [(f"{FLOOD}.direction", "below"), (f"{FLOOD}.levels", [0.5, 0.3])],
    [(f"{LEVEL}.calibration", {"offset": -0.02})],
    [("place.ngo-5.name", "Ng. 5/12 Xuân Đỉnh, chợ & 'mái' <b>")],  # words stay words
]


@pytest.mark.parametrize("changes", FINE)
def test_what_the_contract_allows_is_accepted(changes: list[tuple[str, Any]]) -> None:
    assert wrong(edited(*changes)) == []


RECORDED = {"id": "old", "device": "recorded", "place": "ngo-5"}


def test_a_recorded_sensor_is_accepted_and_an_alarm_on_it_is_not_yet() -> None:
    assert "data" in notices(edited(("sensor.+", RECORDED)))["sensor.old.device"]
    found = wrong(edited(("sensor.+", RECORDED), (f"{FLOOD}.channel", "old/depth_m")))
    assert [p.path for p in found] == [f"{FLOOD}.channel"]


def second_bus(port: str, **sensor: Any) -> dict[str, Any]:
    site = edited(("bus.+", {"id": "rs485-2", "port": port}))
    if sensor:
        site["sensor"].append({"place": "ngo-12", "bus": "rs485-2", **sensor})
    return site


SAME_PORT = [
    ("tcp:10.0.0.9:502", "tcp:10.0.0.9:502"),
    ("tcp:Moxa.ward:502", "rtu-tcp:moxa.ward.:502"),  # one server by two spellings and two protocols
    ("serial:/dev/serial/by-path/x", "serial:/dev/serial//by-path/./x"),
    ("virtual:a", "virtual:a"),
]


@pytest.mark.parametrize(("one", "other"), SAME_PORT)
def test_two_buses_on_one_port_are_refused(one: str, other: str) -> None:
    site = second_bus(other)
    site["bus"][0]["port"] = one
    assert [p.path for p in wrong(site)] == ["bus.rs485-2.port"]
    assert "same port" in wrong(site)[0].what


TWIN = {"id": "khoi-12-3", "device": "di-8", "unit": 9, "input": 1, "kind": "smoke_contact"}


def test_two_wires_that_cannot_be_told_apart_are_named() -> None:
    # two CH340 adapters, each with a contact module as unit 9, for two lanes
    site = second_bus("serial:/dev/ttyUSB1", **TWIN)
    site["bus"][0]["port"] = CH340
    assert "other place's address" in notices(site)["bus.rs485-1"]


def test_twins_with_different_units_or_by_path_names_are_not_named() -> None:
    different = second_bus("serial:/dev/ttyUSB1", **{**TWIN, "unit": 8})
    different["bus"][0]["port"] = CH340
    assert "bus.rs485-1" not in notices(different)
    assert "bus.rs485-1" not in notices(second_bus("serial:/dev/serial/by-path/b", **TWIN))


def test_one_device_may_have_a_sensor_for_each_of_its_kinds() -> None:
    th = {"device": "xy-md02", "bus": "rs485-1", "unit": 3, "place": "ngo-5"}
    site = example()
    site["sensor"] += [{"id": "t", "kind": "temperature_c", **th}, {"id": "h", "kind": "humidity_pct", **th}]
    assert wrong(site) == []
    site["sensor"].append({"id": "t2", "kind": "temperature_c", **th})
    assert [p.path for p in wrong(site)] == ["sensor.t2.unit"]


toml_values = st.recursive(
    st.none().map(lambda _: "")
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=20)
    | st.datetimes()
    | st.sampled_from(["ngo-5", "rs485-1", "khoi-5-12", "max", "fire", "di-8"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = sorted(
    {
        "schema",
        "ward",
        "gateway",
        "web",
        "place",
        "bus",
        "sensor",
        "alarm",
        "sink",
        "notifier",
        "author",
        "limits",
    }
    | {key for rows in example().values() if isinstance(rows, list) for row in rows for key in row}
)


def holds(data: dict[str, Any]) -> None:
    """`parse` ends with a site or with problems, each with a path and printable, bounded text."""
    site, problems = parse(data)
    assert (site is None) == any(not p.is_notice for p in problems)
    for problem in problems:
        assert problem.path
        assert problem.what
        assert (problem.path + problem.what + problem.instead).isprintable()
        assert len(problem.path) < 300
        assert len(problem.what) < 500


def test_a_number_too_long_to_print_is_a_problem_like_any_other() -> None:
    # TOML has hexadecimal numbers of any length; Python refuses to print beyond 4300 digits
    for table, rows in example().items():
        for i, row in enumerate(rows if isinstance(rows, list) else [rows] if isinstance(rows, dict) else []):
            for key in [*row, "period_ms", "mount_height_cm"]:
                site = example()
                (site[table][i] if isinstance(rows, list) else site[table])[key] = 1 << 20000
                holds(site)
    holds(example() | {"schema": 1 << 20000, "zzz": 1 << 20000})


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=12), toml_values, max_size=6))
def test_any_tables_give_a_site_or_problems_and_never_an_error(data: dict[str, Any]) -> None:
    holds(data)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_example_with_random_changes_gives_a_site_or_problems_and_never_an_error(
    data: st.DataObject,
) -> None:
    site = example()
    for _ in range(data.draw(st.integers(1, 5))):
        table = data.draw(st.sampled_from(sorted(site)))
        rows = site[table] if isinstance(site[table], list) else [site[table]]
        row = data.draw(st.sampled_from(rows)) if rows else None
        if not isinstance(row, dict) or data.draw(st.integers(0, 9)) == 0:
            site[table] = data.draw(toml_values)
            if data.draw(st.booleans()):
                del site[table]
            if not site:
                break
            continue
        key = data.draw(st.sampled_from([*sorted(row), *KEYS]) | st.text(max_size=8))
        act = data.draw(st.sampled_from(["delete", "replace", "copy row"]))
        if act == "delete":
            row.pop(key, None)
        elif act == "replace":
            row[key] = data.draw(toml_values)
        elif isinstance(site[table], list):
            site[table].append(copy.deepcopy(row))
    holds(site)
