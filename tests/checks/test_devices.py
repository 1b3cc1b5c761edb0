"""What every device of the library must do: found by listing the files, so a new one cannot be forgotten.

UART sensors are at the end: their frames are cut from a stream and nobody asks most of them.

A device is `drivers/devices/NAME.toml`, its proof `tests/captures/NAME.toml`: exchanges with what they mean, and
`origin`: captured (a device sent these bytes), document (printed by the maker) or computed (from its table).
"""

import math
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import modbus, registers, reports
from drivers.profile import Profile, parse
from drivers.registers import Device
from drivers.uart import FRAME_BYTES_MAX, Cutter
from models.reading import Quality
from models.site import Bus, Gateway, Place, Sensor, Site, Ward

PROFILES = {path.stem: path for path in (Path(registers.__file__).parent / "devices").glob("*.toml")}
CAPTURES = {path.stem: path for path in (Path(__file__).parents[1] / "captures").glob("*.toml")}
TEXT = {"hydreon", "maxbotix-cm", "maxbotix-mm"}  # families whose frames have no check sum
ORIGINS = {"captured": {"captured"}, "document": {"document"}, "unproven": {"computed"}}


def _is_uart(path: Path) -> bool:
    return "uart" in tomllib.loads(path.read_text())


every = pytest.mark.parametrize("name", sorted(PROFILES))
each = pytest.mark.parametrize("name", sorted(n for n, path in PROFILES.items() if not _is_uart(path)))
each_uart = pytest.mark.parametrize("name", sorted(n for n, path in PROFILES.items() if _is_uart(path)))


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


def piece(device: Device, tx: bytes) -> registers.Request:
    """A read that somebody else made of this device."""
    _, function, first, count = modbus.parse_read(tx)
    inside = [
        point.name
        for point in device.channels
        if registers.FUNCTION[point.value.table] == function
        and first <= point.value.extent[0]
        and point.value.extent[1] < first + count
    ]
    length = modbus.expected_length(tx)
    return replace(registers.requests(device)[0], tx=tx, expected=length, channels=tuple(inside))


def exchanges(name: str) -> list[tuple[Device, registers.Request, bytes, dict[str, Any]]]:
    """Each captured exchange with the request of ours that it answers; who captured it may have read other pieces."""
    found = []
    for row in capture_of(name)["exchange"]:
        tx = bytes.fromhex(row["request"])
        device = device_of(name, tx[0])
        own = registers.requests(device)
        request = next((r for r in own if r.tx == tx), None) or piece(device, tx)
        found.append((device, request, bytes.fromhex(row["reply"]), row["expect"]))
    return found


def test_every_device_has_a_capture_and_every_capture_a_device() -> None:
    assert PROFILES.keys() == CAPTURES.keys()


@every
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
        answer = registers.answer(device, request.tx, in_channels(truth))
        assert answer is not None
        if request in registers.requests(device) or modbus.exception_code(answer) is None:
            assert answer == reply


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


# UART


def reports_of(name: str) -> list[tuple[Device, bytes, dict[str, float]]]:
    """Each captured report with what it means."""
    device = device_of(name, 1)
    rows = capture_of(name)["exchange"]
    return [(device, bytes.fromhex(row["reply"]), row["expect"]) for row in rows]


def cut(name: str, *chunks: bytes) -> list[bytes]:
    cutter = Cutter(reports.family(profile_of(name)).cut)
    return [frame for chunk in chunks for frame in cutter.feed(chunk)]


def values(device: Device, frame: bytes) -> dict[str, float]:
    (request,) = registers.requests(device)
    return {one.kind: one.value for one in registers.decode(device, request, frame)}


@each_uart
def test_a_captured_report_is_asked_for_and_decodes_to_what_it_means(name: str) -> None:
    for row, (device, frame, expect) in zip(capture_of(name)["exchange"], reports_of(name), strict=True):
        (request,) = registers.requests(device)
        assert request.tx == bytes.fromhex(row["request"])
        assert cut(name, frame) == [frame]
        samples = registers.decode(device, request, frame)
        assert {s.kind: s.value for s in samples} == expect
        assert [s.quality for s in samples] == [0] * len(samples)


@each_uart
def test_a_report_is_found_split_behind_garbage_merged_and_after_old_bytes(name: str) -> None:
    for device, frame, expect in reports_of(name):
        for n in range(1, len(frame)):
            assert cut(name, frame[:n], frame[n:]) == [frame]
        assert cut(name, *(frame[i : i + 1] for i in range(len(frame)))) == [frame]
        assert cut(name, frame + frame) == [frame, frame]
        for before in (frame[1:], frame[:-1], frame[:2], b"\xff\x00\x13\x0d\x0a"):
            found = [f for f in cut(name, before, frame, frame) if reports.words_of(device.profile, f)]
            assert found
            assert values(device, found[-1]) == expect


@each_uart
def test_a_flipped_bit_is_no_report_unless_the_sensor_has_no_check_sum(name: str) -> None:
    has_sum = profile_of(name).uart.family not in TEXT  # type: ignore[union-attr]  # it is a UART sensor
    for device, frame, _ in reports_of(name):
        for i in range(8 * len(frame)):
            broken = bytearray(frame)
            broken[i // 8] ^= 1 << i % 8
            found = [f for f in cut(name, bytes(broken)) if reports.words_of(device.profile, f)]
            assert not (has_sum and found), bytes(broken).hex(" ")


@each_uart
def test_the_simulated_sensor_makes_the_report_that_means_the_same(name: str) -> None:
    for device, frame, expect in reports_of(name):
        truth = {f"s/{kind}": value for kind, value in expect.items()}
        made = reports.report(device.profile, device.channels, in_channels(truth))
        assert cut(name, made) == [made]
        assert values(device, made) == expect
        family = reports.family(device.profile)
        words = family.words_of(frame)
        assert words is not None
        assert family.words_of(family.frame_of(words)) == words


@each_uart
def test_a_simulated_sensor_in_an_unknown_world_reports_and_never_out_of_its_range(name: str) -> None:
    device = device_of(name, 1)
    made = reports.report(device.profile, device.channels, lambda s, k: None)
    (request,) = registers.requests(device)
    assert cut(name, made) == [made]
    assert not any(
        s.quality & (Quality.RANGE | Quality.PAIR) for s in registers.decode(device, request, made)
    )


@each_uart
@settings(max_examples=200)
@given(chunks=st.lists(st.binary(max_size=80), max_size=8), has_start=st.booleans())
def test_any_bytes_end_in_reports_or_garbage_and_are_all_counted(
    name: str, chunks: list[bytes], has_start: bool
) -> None:
    device = device_of(name, 1)
    cutter = Cutter(reports.family(device.profile).cut)
    _, capture, _ = reports_of(name)[0]
    given_bytes = used = 0
    for chunk in chunks:
        data = capture[:3] + chunk if has_start else chunk
        given_bytes += len(data)
        for frame in cutter.feed(data):
            used += len(frame)
            assert len(frame) <= FRAME_BYTES_MAX
            if reports.words_of(device.profile, frame) is not None:
                for value in registers.decode(device, registers.requests(device)[0], frame):
                    assert value.quality or not math.isnan(value.value)
    cutter.clear()
    assert used + cutter.garbage >= given_bytes  # a flag may end one frame and begin the next
