"""The quick decoder against the plain one, over random devices and replies."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import modbus, registers
from drivers.profile import parse
from drivers.reader import reader
from drivers.registers import Device
from models.site import Calibration, Sensor
from tests.checks.test_devices import PROFILES, device_of, profile_of

LIBRARY = sorted(name for name in PROFILES if profile_of(name).uart is None)


def same(device: Device, data: bytes) -> None:
    for request in registers.requests(device):
        reply = modbus.data_reply(device.unit, request.tx[1], data[: request.expected - 5])
        want = registers.decode(device, request, reply)
        values, flags = reader(device, request)(reply)
        assert flags == [int(one.quality) for one in want]
        for value, one in zip(values, want, strict=True):
            assert value == one.value or (math.isnan(value) and math.isnan(one.value))


@settings(max_examples=500, deadline=None)
@given(name=st.sampled_from(LIBRARY), data=st.binary(min_size=250, max_size=250))
def test_every_device_of_the_library(name: str, data: bytes) -> None:
    same(device_of(name, 1), data)


values = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["temperature_c", "co_ppm", "raw_3"]),
        "table": st.just("holding"),
        "address": st.integers(0, 20),
        "type": st.sampled_from(["u16", "i16", "u32", "f32"]),
    },
    optional={
        "scale": st.sampled_from([0.1, 0.001, 10.0, 0.0123, 1.0]),
        "range": st.sampled_from([[-40, 85], [0, 10.5]]),
        "mask": st.sampled_from([0x00FF, 0x7FFF]),
        "sentinel": st.sampled_from([[0xFFFF], [0, 0x8000]]),
        "at_low": st.sampled_from(["range", "bound", "no_echo"]),
        "at_high": st.sampled_from(["range", "bound", "sentinel"]),
    },
)


@settings(max_examples=1000, deadline=None)
@given(
    rows=st.lists(values, min_size=1, max_size=3, unique_by=lambda row: row["kind"]),
    offset=st.sampled_from([0.0, -1.5]),
    data=st.binary(min_size=250, max_size=250),
)
def test_any_mixture_of_habits(rows: list[dict[str, object]], offset: float, data: bytes) -> None:
    table = {"schema": 1, "title": "t", "source": "s", "confidence": "unproven", "value": rows}
    profile, _ = parse("d", table)
    if profile is None:  # two at one address, a mask of a float, ...
        return
    sensor = Sensor(id="s", device="d", place="p", bus="b", unit=1, calibration=Calibration(offset=offset))
    points = tuple(registers.ChannelPoint(f"s/{value.kind}", sensor, value) for value in profile.value)
    same(Device("b", 1, "d", profile, (sensor,), 1.0, points), data)
