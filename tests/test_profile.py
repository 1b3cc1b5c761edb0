"""Device files: all problems at once, each with its place and what to write instead."""

from typing import Any

import pytest

from drivers.profile import Profile, override, parse

HEAD = {"schema": 1, "title": "t", "source": "s", "confidence": "unproven"}


def value(**more: Any) -> dict[str, Any]:
    return {"kind": "temperature_c", "table": "input", "address": 1, "type": "i16", **more}


def problems_of(**tables: Any) -> dict[str, str]:
    """Path below the device -> what and what instead."""
    profile, problems = parse("thing", {**HEAD, **tables})
    assert (profile is None) == bool(problems)
    assert not any(p.is_notice for p in problems)
    return {p.path.removeprefix("devices.thing."): f"{p.what}; {p.instead}" for p in problems}


def test_the_example_of_the_contract_is_accepted_with_its_defaults() -> None:
    profile, problems = parse(
        "xy-md02",
        {
            **HEAD,
            "link": {
                "baud": 9600,
                "framing": "8N1",
                "unit": 1,
                "reply_ms": 200,
                "late_ms": 1000,
                "warmup_s": 5,
            },
            "value": [value(scale=0.1, range=[-40, 85], resolution=0.1, sentinel=[0x7FFF])],
            "setup": [{"table": "holding", "address": 0x1000, "value": 0}],
            "know": {"table": "input", "address": 0, "type": "u32", "order": "CDAB", "equals": 0x734300C0},
        },
    )
    assert not problems
    assert profile is not None
    assert (profile.link.rest_ms, profile.link.merge, profile.link.count_max) == (0, True, 125)
    assert profile.value[0].sentinel == (0x7FFF,)
    assert profile.know is not None
    assert profile.know.equals == 0x734300C0


def test_tcp_habits_decimals_and_unit_registers_are_accepted() -> None:
    unit_at = {"address": 2, "factor": {"10": 0.10197, "16": 1.0}}
    assert not problems_of(
        link={"tcp": {"idle_close": True, "clients": 1, "transaction": "ignored"}},
        value=[value(kind="depth_m", address=4, decimals_at=3, unit_at=unit_at)],
    )


@pytest.mark.parametrize(
    ("tables", "path", "says"),
    [
        ({"value": [value()], "titel": "x"}, "titel", "did you mean title?"),
        ({"value": [value()], "name": "x"}, "name", "unknown key"),
        ({"value": [value(adress=1)]}, "value.0.adress", "did you mean address?"),
        ({"link": {"reply": 1}, "value": [value()]}, "link.reply", "did you mean reply_ms?"),
        ({"link": {"tcp": {"client": 1}}, "value": [value()]}, "link.tcp.client", "did you mean clients?"),
        ({"value": [value(address="1")]}, "value.0.address", "integer"),  # a text is no number
        ({"value": [value(address=65536)]}, "value.0.address", "65535"),
        ({"value": [value(address=65535, type="u32")]}, "value.0.address", "65535"),  # ends behind it
        ({"value": [value(kind="temperature")]}, "value.0.kind", "did you mean temperature_c?"),
        ({"value": [value(kind="sill_gap_m")]}, "value.0.kind", "derived"),
        ({"value": [value(table="coil")]}, "value.0.type", "bit for coil"),
        ({"value": [value(order="CDAB")]}, "value.0.order", "32-bit"),
        ({"value": [value(scale=0.0)]}, "value.0.scale", "other than 0"),
        ({"value": [value(range=[85, -40])]}, "value.0.range", "range = [-40, 85]"),
        ({"value": [value(range=[-400, 85])]}, "value.0.range", "-60 .. 1500 °C"),
        ({"value": [value(at_high="bound")]}, "value.0.at_high", "give a range"),
        ({"value": [value(sentinel=[-9999])]}, "value.0.sentinel", "unsigned"),
        ({"value": [value(sentinel=[65536])]}, "value.0.sentinel", "0 .. 65535"),
        ({"value": [value(mask=0x10000)]}, "value.0.mask", "does not fit"),
        ({"value": [value(invert=True)]}, "value.0.kind", "for contacts"),
        ({"value": [value(), value()]}, "value.1.kind", "already value.0"),
        ({"value": [value(), value(kind="humidity_pct")]}, "value.1.address", "already belongs to value.0"),
        ({"value": [value(type="u32"), value(kind="humidity_pct", address=2)]}, "value.1.address", "value.0"),
        ({"link": {"count_max": 1}, "value": [value(type="u32")]}, "value.0.address", "read of 2 registers"),
        ({"link": {"late_ms": 100}, "value": [value()]}, "link.late_ms", "late_ms >= reply_ms"),
        ({"link": {"framing": "8X1"}, "value": [value()]}, "link.framing", "8X1"),
        ({"link": {"unit": 0}, "value": [value()]}, "link.unit", "greater"),
        ({}, "value", "either"),  # nothing to read
        ({"value": [value()], "inputs": {"table": "discrete", "address": 0, "count": 8}}, "value", "either"),
        ({"inputs": {"table": "input", "address": 0, "count": 8}}, "inputs.type", "bit"),
        ({"inputs": {"table": "discrete", "address": 65530, "count": 8}}, "inputs.count", "65535"),
        (
            {"value": [value(unit_at={"address": 2, "factor": {"kPa": 1.0}})]},
            "value.0.unit_at.factor",
            "no register content",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place_and_a_remedy(tables: dict[str, Any], path: str, says: str) -> None:
    problems = problems_of(**tables)
    assert path in problems
    assert says in problems[path]


def test_all_problems_come_at_once() -> None:
    problems = problems_of(
        link={"baud": 1, "rset_ms": 3}, value=[value(adress=1), {"kind": "humidity_pct"}], confidence="sure"
    )
    assert set(problems) == {
        "link.baud", "link.rset_ms", "value.0.adress", "value.1.table", "value.1.address", "confidence",
    }  # fmt: skip
    assert problems["value.1.table"].startswith("is required")
    problems = problems_of(value=[value(order="CDAB", scale=0.0), value(kind="heat", address=2)])
    assert set(problems) == {"value.0.order", "value.0.scale", "value.1.kind"}


def test_two_values_may_share_a_register_only_with_bits_of_their_own() -> None:
    def contacts(first: int, second: int) -> list[dict[str, Any]]:
        row = {"table": "input", "address": 0}
        return [
            {"kind": "water_contact", "mask": first, **row},
            {"kind": "panel_fault", "mask": second, **row},
        ]

    assert not problems_of(value=contacts(1, 2))
    assert "value.1.address" in problems_of(value=contacts(3, 2))


def thing() -> Profile:
    profile, problems = parse(
        "thing", {**HEAD, "link": {"rest_ms": 5}, "value": [value(scale=0.1, range=[-40, 85])]}
    )
    assert profile is not None, problems
    return profile


def test_a_site_lays_single_keys_over_a_profile() -> None:
    tables = {"link": {"reply_ms": 300}, "value": [{"kind": "temperature_c", "scale": 0.01}]}
    profile, problems = override(thing(), tables, "sensor.s.profile")
    assert not problems
    assert profile is not None
    assert (profile.link.reply_ms, profile.link.rest_ms) == (300, 5)
    assert (profile.value[0].scale, profile.value[0].range) == (0.01, (-40, 85))
    assert override(thing(), {}, "sensor.s.profile") == (thing(), [])


@pytest.mark.parametrize(
    ("tables", "path", "says"),
    [
        ({"value": [{"kind": "humidity_pct", "scale": 1.0}]}, "value", "one of temperature_c"),
        ({"value": [{"kind": "temperature_c", "scal": 1.0}]}, "value.0.scal", "did you mean scale?"),
        ({"value": [{"scale": 1.0}]}, "value", "no value of kind None"),
        ({"value": [3]}, "value", "no value of kind None"),
        ({"value": {"kind": "temperature_c"}}, "value", ""),
        ({"link": {"late_ms": 1}}, "link.late_ms", "late_ms >= reply_ms"),
        ({"lnik": {"late_ms": 1}}, "lnik", "did you mean link?"),
        ({"link": 3}, "link", "dict"),
    ],
)
def test_a_mistake_in_a_site_is_told_at_the_sensor(tables: dict[str, Any], path: str, says: str) -> None:
    profile, problems = override(thing(), tables, "sensor.s.profile")
    assert profile is None
    told = {p.path: f"{p.what}; {p.instead}" for p in problems}
    assert says in told[f"sensor.s.profile.{path}"]
