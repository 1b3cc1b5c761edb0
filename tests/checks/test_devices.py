"""What every device of the library must do: found by listing the files, so a new one cannot be forgotten.

A device is `drivers/devices/NAME.toml`, its proof `tests/captures/NAME.toml`: exchanges with what they mean, and
`origin`: captured (a device sent these bytes), document (printed by the maker) or computed (from its table).
"""

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import modbus, registers
from drivers.profile import Profile, parse
from drivers.registers import Device
from models.reading import Quality
from models.site import Bus, Gateway, Place, Sensor, Site, Ward

PROFILES = {path.stem: path for path in (Path(registers.__file__).parent / "devices").glob("*.toml")}
CAPTURES = {path.stem: path for path in (Path(__file__).parents[1] / "captures").glob("*.toml")}
ORIGINS = {"captured": {"captured"}, "document": {"document", "computed"}, "unproven": {"computed"}}

each = pytest.mark.parametrize("name", sorted(PROFILES))


def profile_of(name: str) -> Profile:
    profile, problems = parse(name, tomllib.loads(PROFILES[name].read_text()))
    assert profile is not None, problems
    return profile


def capture_of(name: str) -> dict[str, Any]:
    return tomllib.loads(CAPTURES[name].read_text())


def device_of(name: str, unit: int) -> Device:
    profile = profile_of(name)
    row = {"device": name, "place": "p", "bus": "b", "unit": unit}
    sensors = [Sensor(id="s", **row)]
    if profile.inputs is not None:
        n = profile.inputs.count
        sensors = [Sensor(id=f"s{i}", input=i, kind="smoke_contact", **row) for i in range(1, n + 1)]
    site = Site(
        schema=1, ward=Ward(id="w", name="w"), gateway=Gateway(id="g", place="p"), place=(Place(id="p", name="p"),),
        bus=(Bus(id="b", port="virtual:b"),), sensor=tuple(sensors),
    )  # fmt: skip
    return registers.devices(site, {name: profile})[0]


def meaning(expect: dict[str, Any]) -> list[float]:
    return [float(v) for v in expect.get("inputs", expect.values())]


def in_channels(truth: dict[str, float]) -> registers.World:
    return lambda sensor, kind: truth.get(f"{sensor}/{kind}")


def exchanges(name: str) -> list[tuple[Device, registers.Request, bytes, dict[str, Any]]]:
    """Each captured exchange with the request of ours that it answers."""
    found = []
    for row in capture_of(name)["exchange"]:
        tx = bytes.fromhex(row["request"])
        device = device_of(name, tx[0])
        (request,) = [r for r in registers.requests(device) if r.tx == tx]
        found.append((device, request, bytes.fromhex(row["reply"]), row["expect"]))
    return found


def test_every_device_has_a_capture_and_every_capture_a_device() -> None:
    assert PROFILES.keys() == CAPTURES.keys()


@each
def test_the_profile_has_no_problem_and_says_where_it_comes_from(name: str) -> None:
    profile = profile_of(name)
    assert profile.source
    assert capture_of(name)["source"]
    assert capture_of(name)["origin"] in ORIGINS[profile.confidence]


@each
def test_the_captures_are_answers_to_our_own_requests_and_decode_to_what_they_mean(name: str) -> None:
    for device, request, reply, expect in exchanges(name):
        assert modbus.check(request.tx, reply) is None
        samples = registers.decode(device, request, reply)
        assert [s.value for s in samples] == meaning(expect)
        assert [s.quality for s in samples] == [0] * len(samples)


@each
def test_the_simulated_device_sends_the_captured_bytes(name: str) -> None:
    for device, request, reply, expect in exchanges(name):
        truth = dict(zip(request.channels, meaning(expect), strict=True))
        assert registers.answer(device, request.tx, in_channels(truth)) == reply


@each
def test_a_damaged_capture_is_never_a_value(name: str) -> None:
    for _, request, reply, _ in exchanges(name):
        for i in range(8 * len(reply)):
            broken = bytearray(reply)
            broken[i // 8] ^= 1 << i % 8
            assert modbus.find_reply(request.tx, bytes(broken)) is None
        for n in range(len(reply)):
            assert modbus.find_reply(request.tx, reply[:n]) is None


@each
def test_a_capture_is_found_split_behind_garbage_and_twice_in_one_read(name: str) -> None:
    for _, request, reply, _ in exchanges(name):
        for n in range(len(reply)):
            assert modbus.find_reply(request.tx, reply, n) == reply
        assert modbus.find_reply(request.tx, b"\x00\xff" + reply) == reply
        assert modbus.find_reply(request.tx, request.tx + reply) == reply
        assert modbus.find_reply(request.tx, reply + reply) == reply


@each
@settings(max_examples=50)
@given(data=st.binary(min_size=250, max_size=250))
def test_any_content_decodes_to_one_sample_a_channel_and_nan_has_a_flag(name: str, data: bytes) -> None:
    device = device_of(name, 1)
    for request in registers.requests(device):
        reply = modbus.data_reply(1, request.tx[1], data[: request.expected - 5])
        samples = registers.decode(device, request, reply)
        assert len(samples) == len(request.channels)
        for sample in samples:
            assert sample.quality or not math.isnan(sample.value)


@each
def test_a_device_in_an_unknown_world_answers_and_never_out_of_its_range(name: str) -> None:
    device = device_of(name, 1)
    for request in registers.requests(device):
        assert request.resync is not None
        assert registers.answer(device, request.resync, lambda s, k: None) is not None
        reply = registers.answer(device, request.tx, lambda s, k: None)
        assert reply is not None
        assert not any(s.quality & Quality.RANGE for s in registers.decode(device, request, reply))


@each
def test_the_channels_keep_their_order_and_are_each_asked_once(name: str) -> None:
    device = device_of(name, 1)
    asked = [channel for request in registers.requests(device) for channel in request.channels]
    assert sorted(asked) == sorted(point.name for point in device.channels)
    for request in registers.requests(device):
        assert list(request.channels) == [p.name for p in device.channels if p.name in request.channels]
