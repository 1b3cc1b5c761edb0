"""Registers to samples and back: types, orders, scales, flags, few requests. Expected numbers by hand or
vectors."""

import math
import struct
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import modbus, registers
from drivers.line import Request
from drivers.profile import parse
from drivers.registers import Device
from models.reading import KINDS, Quality, Sample
from models.site import Bus, Gateway, Place, Sensor, Site, Ward
from tests.test_modbus import cases

DEVICES = Path(registers.__file__).parent / "devices"
PROFILE = {"schema": 1, "title": "t", "source": "s", "confidence": "unproven"}


def library(name: str) -> dict[str, Any]:
    return tomllib.loads((DEVICES / f"{name}.toml").read_text())


def built(data: dict[str, Any], *sensors: dict[str, Any]) -> Device:
    profile, problems = parse("thing", data)
    assert profile is not None, problems
    rows = [
        {"id": "s", "device": "thing", "place": "p", "bus": "b", "unit": 1, **row} for row in sensors or ({},)
    ]
    site = Site(
        schema=1, ward=Ward(id="w", name="w"), gateway=Gateway(id="g", place="p"), place=(Place(id="p",
        name="p"),), bus=(Bus(id="b", port="virtual:b"),), sensor=tuple(Sensor(**row) for row in rows),
    )  # fmt: skip
    (device,) = registers.devices(site, {"thing": profile})
    return device


def of_values(*values: dict[str, Any], sensor: dict[str, Any] | None = None, **link: Any) -> Device:
    rows = [{"table": "holding", "address": i, **value} for i, value in enumerate(values)]
    return built({**PROFILE, "link": link, "value": rows}, *([sensor] if sensor else []))


def asked(device: Device, *words: int) -> tuple[Sample, ...]:
    """What the only request of a device decodes to when it is answered with these words."""
    (request,) = registers.requests(device)
    _, function, _, count = modbus.parse_read(request.tx)
    assert len(words) == count
    reply = modbus.data_reply(device.unit, function, struct.pack(f">{count}H", *words))
    return registers.decode(device, request, reply)


def value_of(device: Device, *words: int) -> tuple[float, int]:
    (sample,) = asked(device, *words)
    return sample.value, sample.quality


@pytest.mark.parametrize("case", cases("scaled", "implausible", file="xy_md02"))
def test_xy_md02_frames_decode_to_the_published_values(case: dict[str, Any]) -> None:
    kinds = {"temp_c": "temperature_c", "rh": "humidity_pct"}
    data = library("xy-md02")
    data["value"] = [v for v in data["value"] if v["kind"] in {kinds[f] for f in case["fields"]}]
    for value in data["value"]:
        value["scale"] = 1 / case["scale"]
    device, reply = built(data), bytes.fromhex(case["hex"])
    (request,) = registers.requests(device)
    assert modbus.check(request.tx, reply) is None
    samples = registers.decode(device, request, reply)
    if case["kind"] == "implausible":
        assert [s.quality for s in samples] == [Quality.RANGE]
    else:
        assert [(s.value, s.quality) for s in samples] == [(v, 0) for v in case["expect"]]


@pytest.mark.parametrize(
    ("order", "words"),
    [  # the four spellings of 123456.0 = 0x47F12000
        ("ABCD", (0x47F1, 0x2000)),
        ("CDAB", (0x2000, 0x47F1)),
        ("BADC", (0xF147, 0x0020)),
        ("DCBA", (0x0020, 0xF147)),
    ],
)
def test_a_float_is_read_in_each_of_the_four_orders(order: str, words: tuple[int, int]) -> None:
    device = of_values({"kind": "raw_0", "type": "f32", "order": order})
    assert value_of(device, *words) == (123456.0, 0)


def test_two_values_of_one_device_may_have_two_orders() -> None:
    device = of_values(
        {"kind": "raw_0", "type": "f32", "order": "CDAB"},
        {"kind": "raw_1", "type": "f32", "order": "ABCD", "address": 2},
    )
    assert [s.value for s in asked(device, 0x0000, 0x3F80, 0x3F80, 0x0000)] == [1.0, 1.0]
    alone = of_values({"kind": "raw_0", "type": "f32", "order": "CDAB"})
    (request,) = registers.requests(alone)
    (sample,) = registers.decode(alone, request, bytes.fromhex("01 03 04 00 00 3f 80 ea 63"))
    assert sample == Sample("raw_0", 1.0, 0)


@pytest.mark.parametrize("case", cases("reply_float32"))
def test_a_makers_float_frame_is_read(case: dict[str, Any]) -> None:
    device = of_values(
        {"kind": "temperature_c", "type": "f32"}, {"kind": "humidity_pct", "type": "f32", "address": 2}
    )
    (request,) = registers.requests(device)
    samples = registers.decode(device, request, bytes.fromhex(case["hex"]))
    assert [s.value for s in samples] == pytest.approx(case["expect"]["values"], abs=case["tol"])


@pytest.mark.parametrize("case", cases("sen0575_rain", file="level_rain_modbus"))
def test_a_32_bit_counter_with_the_low_word_first(case: dict[str, Any]) -> None:
    device = of_values({"kind": "rain_mm", "type": "u32", "order": "CDAB", "scale": 0.0001})
    assert value_of(device, *case["regs"]) == (case["expect_mm"], 0)


@pytest.mark.parametrize("case", cases("qdy30a_a", file="level_rain_modbus"))
def test_decimals_and_unit_are_read_in_the_values_own_request(case: dict[str, Any]) -> None:
    factor = {"10": 0.101972, "16": 1.0, "17": 0.001}  # kPa, mH2O, mmH2O
    level = {"kind": "depth_m", "type": "i16", "address": 4, "decimals_at": 3}
    device = of_values({**level, "unit_at": {"address": 2, "factor": factor}})
    value, flags = value_of(device, *case["regs"][2:5])
    assert (value, flags) == (pytest.approx(case["expect"]["level_m"], abs=1e-4), 0)
    assert math.isnan(value_of(device, 99, *case["regs"][3:5])[0])  # an unknown unit is no value


@pytest.mark.parametrize(
    ("value", "word", "wanted"),
    [
        ({"scale": 0.001}, 33, (0.033, 0)),  # by division, so that texts stay short
        ({"scale": 0.1}, 3, (0.3, 0)),  # 3 * 0.1 is 0.30000000000000004
        ({"scale": 2.5}, 3, (7.5, 0)),
        ({"type": "i16"}, 0xFFFF, (-1.0, 0)),
        ({"mask": 0x0FF0}, 0x1234, (0x23, 0)),  # shifted down
        ({"order": "BADC"}, 0x3412, (0x1234, 0)),  # low byte first
        ({"range": (0, 100)}, 100, (100.0, 0)),  # ends belong to the range
        ({"range": (0, 100)}, 101, (101.0, Quality.RANGE)),  # keeps the number
        ({"range": (10, 100)}, 9, (9.0, Quality.RANGE)),
        ({"range": (10, 100), "at_low": "bound"}, 11, (11.0, 0)),
        ({"range": (10, 100), "at_low": "bound"}, 10, (10.0, Quality.BOUND_LOW)),  # the end says "at most"
        ({"range": (10, 100), "at_low": "bound"}, 3, (10.0, Quality.BOUND_LOW)),  # the end is what is known
        ({"range": (10, 100), "at_high": "bound"}, 100, (100.0, Quality.BOUND_HIGH)),
        ({"range": (10, 100), "at_high": "no_echo"}, 100, (None, Quality.NO_ECHO)),
        ({"range": (10, 100), "at_high": "sentinel"}, 200, (None, Quality.SENTINEL)),
        ({"sentinel": (0x7FFF,), "range": (0, 100)}, 0x7FFF, (None, Quality.SENTINEL)),  # before the range
        ({"sentinel": (0xD8F1,), "type": "i16"}, 55537, (None, Quality.SENTINEL)),  # raw, unsigned
    ],
)
def test_a_word_becomes_a_value_and_its_flags(
    value: dict[str, Any], word: int, wanted: tuple[float | None, int]
) -> None:
    number, flags = value_of(of_values({"kind": "raw_0", **value}), word)
    assert (None if math.isnan(number) else number, flags) == wanted


@pytest.mark.parametrize("word", [0x7FC0, 0x7F80, 0xFF80])
def test_a_float_that_is_no_number_is_no_value(word: int) -> None:
    value, flags = value_of(of_values({"kind": "raw_0", "type": "f32"}), word, 0)
    assert math.isnan(value)
    assert flags == Quality.SENTINEL


def test_an_impossible_value_makes_its_whole_reply_suspect() -> None:
    device = of_values(
        {"kind": "temperature_c", "type": "i16", "range": (-40, 85)},
        {"kind": "humidity_pct", "range": (0, 100)},
        {"kind": "pressure_hpa", "sentinel": (0xFFFF,)},
    )
    assert [(s.value, s.quality) for s in asked(device, 300, 55, 1000)] == [
        (300.0, Quality.RANGE),
        (55.0, Quality.PAIR),
        (1000.0, Quality.PAIR),
    ]
    assert [s.quality for s in asked(device, 30, 55, 0xFFFF)] == [0, 0, Quality.SENTINEL]


def test_contacts_are_zero_or_one_and_one_means_what_the_kind_says() -> None:
    sensors = [
        {"id": "a", "input": 1, "kind": "smoke_contact"},
        {"id": "b", "input": 4, "kind": "call_point"},
        {"id": "c", "input": 8, "kind": "mains_ok", "invert": True},
    ]
    device = built(library("di-8"), *sensors)
    (request,) = registers.requests(device)
    assert request.channels == ("a/smoke_contact", "b/call_point", "c/mains_ok")
    for word, wanted in [(0x00, (0, 0, 1)), (0x08, (0, 1, 1)), (0xFF, (1, 1, 0)), (0x76, (0, 0, 1))]:
        reply = modbus.data_reply(1, 2, bytes((word,)))
        assert tuple(s.value for s in registers.decode(device, request, reply)) == wanted


def test_an_inverted_contact_rests_closed_on_the_wire() -> None:
    device = built(library("di-8"), {"input": 8, "kind": "mains_ok", "invert": True})
    (request,) = registers.requests(device)
    for truth, data in [(1.0, "00"), (0.0, "80"), (None, "80")]:
        reply = registers.answer(device, request.tx, lambda sensor, kind, t=truth: t)
        assert reply == modbus.data_reply(1, 2, bytes.fromhex(data))


def test_a_supervised_contact_in_a_register_tells_open_and_short() -> None:
    value = {"kind": "smoke_contact", "open": (3,), "short": (4,), "invert": True}
    device = of_values(value)
    assert value_of(device, 0) == (1.0, 0)
    assert value_of(device, 1) == (0.0, 0)
    assert value_of(device, 2) == (2.0, Quality.RANGE)
    for word, flag in ((3, Quality.OPEN), (4, Quality.SHORT)):
        number, flags = value_of(device, word)
        assert math.isnan(number)
        assert flags == flag


def test_an_analogue_input_maps_its_span_and_a_broken_loop_is_no_measurement() -> None:
    module = {
        **PROFILE,
        "inputs": {"table": "input", "address": 0, "count": 4, "type": "u16", "scale": 0.001},
    }
    sensor = {"input": 2, "kind": "depth_m", "span": (4.0, 20.0), "to": (0.0, 5.0)}
    device = built(module, sensor)
    assert asked(device, 0, 12000, 0, 0) == (Sample("depth_m", 2.5, 0),)
    assert asked(device, 0, 0, 0, 0)[0].quality == Quality.RANGE  # a cut wire, not -1.25 m
    assert asked(device, 0, 3700, 0, 0)[0].quality == 0  # a little below zero is drift
    assert asked(device, 0, 3500, 0, 0)[0].quality == Quality.RANGE  # below 3.6 mA the loop says "fault"


def test_a_calibration_comes_last_and_does_not_move_the_range() -> None:
    sensor = {"calibration": {"offset": -5.0, "scale": 2.0}}
    device = of_values({"kind": "raw_0", "range": (0, 100)}, sensor=sensor)
    assert value_of(device, 100) == (195.0, 0)
    assert value_of(device, 101)[1] == Quality.RANGE


def test_a_site_may_change_single_keys_of_a_value() -> None:
    device = built(library("xy-md02"), {"profile": {"value": [{"kind": "temperature_c", "scale": 0.01}]}})
    assert asked(device, 3050, 546) == (Sample("temperature_c", 30.5, 0), Sample("humidity_pct", 54.6, 0))


def reads(device: Device) -> list[tuple[int, int, int]]:
    return [modbus.parse_read(request.tx)[1:] for request in registers.requests(device)]


def test_neighbours_are_read_together_and_strangers_apart() -> None:
    def rows(*addresses: int, **more: Any) -> list[dict[str, Any]]:
        return [{"kind": f"raw_{i}", "address": a, **more} for i, a in enumerate(addresses)]

    assert reads(of_values(*rows(7, 1, 3))) == [(3, 1, 7)]  # one read over small gaps, whatever the order
    assert reads(of_values(*rows(1, 40))) == [(3, 1, 1), (3, 40, 1)]
    assert reads(of_values(*rows(1, 2), merge=False)) == [(3, 1, 1), (3, 2, 1)]
    assert reads(of_values(*rows(0, 1, 2, 3), count_max=2)) == [(3, 0, 2), (3, 2, 2)]
    mixed = [*rows(1), {"kind": "raw_9", "address": 2, "table": "input"}]
    assert reads(of_values(*mixed)) == [(3, 1, 1), (4, 2, 1)]


def test_sensors_of_one_unit_are_one_device_read_at_the_shortest_period() -> None:
    sensors = [
        {"id": "a", "input": 1, "kind": "smoke_contact", "period_s": 2.0},
        {"id": "b", "input": 2, "kind": "call_point", "period_s": 0.5},
    ]
    device = built(library("di-8"), *sensors)
    assert (device.period_s, reads(device)) == (0.5, [(2, 0, 8)])
    sensors[0]["period_s"] = "max"
    assert built(library("di-8"), *sensors).period_s == "max"


devices_at_hand = st.sampled_from(
    [
        built(library("di-8"), *({"id": f"s{i}", "input": i, "kind": "smoke_contact"} for i in range(1, 9))),
        built(library("xy-md02")),
        built(library("sen0676"), {"mount_height_m": 3.2}),
        of_values(*({"kind": f"raw_{i}"} for i in range(16))),
        of_values({"kind": "raw_0"}, {"kind": "raw_1", "table": "input"}, {"kind": "raw_2", "address": 90}),
        of_values({"kind": "raw_0", "type": "f32", "order": "DCBA", "mask": None}),
        of_values({"kind": "raw_0", "mask": 0x00F0}, {"kind": "raw_1", "address": 0, "mask": 0x0F00}),
    ]
)


@given(devices_at_hand)
def test_no_reply_to_a_question_has_the_shape_of_a_resync_reply(device: Device) -> None:
    shapes = {(r.tx[1], r.expected) for r in registers.requests(device)}
    for request in registers.requests(device):
        assert request.resync is not None
        assert (request.resync[1], modbus.expected_length(request.resync)) not in shapes
        assert registers.answer(device, request.resync, lambda sensor, kind: None) is not None


@given(devices_at_hand, st.binary(min_size=250, max_size=250))
def test_no_checked_reply_makes_the_decoder_raise(device: Device, data: bytes) -> None:
    for request in registers.requests(device):
        reply = modbus.data_reply(device.unit, request.tx[1], data[: request.expected - 5])
        samples = registers.decode(device, request, reply)
        assert len(samples) == len(request.channels)
        for sample in samples:
            assert not math.isinf(sample.value)
            assert sample.quality or not math.isnan(sample.value)


@given(devices_at_hand, st.binary(max_size=40), st.booleans())
def test_no_request_makes_the_device_raise_or_answer_badly(device: Device, tx: bytes, is_sound: bool) -> None:
    tx = modbus.with_crc(bytes((device.unit,)) + tx) if is_sound and tx else tx
    reply = registers.answer(device, tx, lambda sensor, kind: 1.0)
    if reply is not None:
        assert modbus.has_valid_crc(reply)
        assert reply[1] & 0x7F == tx[1] & 0x7F


def test_the_device_refuses_what_it_does_not_have() -> None:
    device = built(library("di-8"), {"input": 1, "kind": "smoke_contact"})

    def reply(tx: bytes) -> str | None:
        answer = registers.answer(device, tx, lambda sensor, kind: 1.0)
        return None if answer is None else answer[:-2].hex(" ")

    assert reply(modbus.read_request(1, 2, 0, 8)) == "01 02 01 01"
    assert reply(modbus.read_request(1, 2, 1, 8)) == "01 82 02"  # beyond the eighth input
    assert reply(modbus.read_request(1, 2, 8, 1)) == "01 82 02"
    assert reply(modbus.read_request(1, 3, 0, 1)) == "01 83 01"  # no registers
    assert reply(modbus.with_crc(bytes.fromhex("01 05 00 00 ff 00"))) == "01 85 01"  # writes nothing
    assert reply(modbus.with_crc(bytes.fromhex("01 02 00 00 00 00"))) == "01 82 03"  # a count of zero
    assert reply(modbus.read_request(2, 2, 0, 8)) is None  # not for it
    assert reply(modbus.read_request(1, 2, 0, 8)[:-1] + b"\0") is None  # damaged
    assert reply(b"") is None


def through(device: Device, truth: dict[str, float]) -> dict[str, float]:
    """Decoded values of the device's own answers to a true world."""

    def once(request: Request) -> dict[str, float]:
        reply = registers.answer(device, request.tx, lambda sensor, kind: truth.get(kind))
        assert reply is not None
        assert modbus.check(request.tx, reply) is None
        return {s.kind: s.value for s in registers.decode(device, request, reply)}

    return {kind: value for r in registers.requests(device) for kind, value in once(r).items()}


@given(
    st.sampled_from(["u16", "i16", "u32", "i32", "f32"]),
    st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]),
    st.sampled_from([1.0, 0.1, 0.01, 0.001, 2.5]),
    st.integers(-30_000, 60_000),
)
def test_what_the_device_answers_decodes_to_the_truth(
    type_: str, order: str, scale: float, step: int
) -> None:
    if type_ in ("u16", "i16") and order in ("CDAB", "DCBA"):
        order = "ABCD"
    low, high = {"u16": (0, 65535), "u32": (0, 1 << 31), "i16": (-32768, 32767)}.get(
        type_, (-(1 << 30), 1 << 30)
    )
    truth = max(low, min(high, step)) * scale
    device = of_values({"kind": "raw_0", "type": type_, "order": order, "scale": scale})
    assert through(device, {"raw_0": truth})["raw_0"] == pytest.approx(truth, rel=1e-6, abs=scale * 1e-3)


@given(st.floats(-39, 84), st.floats(0, 100))
def test_xy_md02_measures_the_world_to_its_resolution(t: float, rh: float) -> None:
    seen = through(built(library("xy-md02")), {"temperature_c": t, "humidity_pct": rh})
    assert seen["temperature_c"] == pytest.approx(t, abs=0.0501)
    assert seen["humidity_pct"] == pytest.approx(rh, abs=0.0501)


@given(st.floats(-1.0, 3.0))
def test_a_radar_sees_the_depth_that_the_world_gives(depth: float) -> None:
    device = built(library("sen0676"), {"mount_height_m": 3.2})
    assert through(device, {"depth_m": depth})["distance_m"] == pytest.approx(3.2 - depth, abs=0.00051)


def test_water_inside_the_blanking_distance_is_a_bound() -> None:
    device = built(library("sen0676"), {"mount_height_m": 3.2})
    (request,) = registers.requests(device)
    reply = registers.answer(device, request.tx, lambda sensor, kind: {"depth_m": 3.15}.get(kind))
    assert reply is not None
    assert registers.decode(device, request, reply) == (Sample("distance_m", 0.15, Quality.BOUND_LOW),)


@given(st.floats(-4.9, 4.9))
def test_span_and_calibration_are_turned_round(depth: float) -> None:
    module = {
        **PROFILE,
        "inputs": {"table": "input", "address": 0, "count": 1, "type": "u16", "scale": 0.001},
    }
    sensor = {
        "input": 1, "kind": "depth_m", "span": (4.0, 20.0), "to": (-5.0, 5.0),
        "calibration": {"offset": 0.01, "scale": 1.02},
    }  # fmt: skip
    assert through(built(module, sensor), {"depth_m": depth})["depth_m"] == pytest.approx(depth, abs=0.001)


def test_every_kind_that_a_device_of_the_library_measures_is_known() -> None:
    for path in DEVICES.glob("*.toml"):
        assert all(value["kind"] in KINDS for value in tomllib.loads(path.read_text()).get("value", []))
