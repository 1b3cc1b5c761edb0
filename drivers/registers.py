"""From profiles to few requests, from replies to samples, and back: the device as seen from its registers.

A *device* is all sensors of one bus and unit. Its channels have a fixed order; values that lie together in
one table are read by one request. `decode` keeps no state: what tells decimals or unit is read in the value's
own request. `answer` is the same knowledge turned round: the bit-exact reply of the device to any request,
from a world function, so that tests, demos and training speak the same bytes as the street.

A value out of RANGE makes its whole reply suspect: its siblings get PAIR, because one frame of a dying sensor
must not pass in halves. How one value is coded stands in `coding`.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from drivers import modbus, reports
from drivers.coding import ChannelPoint, World, put, raw_word, sample, siblings, told
from drivers.device_file import BIT_TABLES, RAW_MAX, WORDS, Profile, Value
from drivers.line import Request
from drivers.profile import override
from models.reading import Sample
from models.site import Sensor, Site

__all__ = [
    "ChannelPoint",
    "Device",
    "World",
    "answer",
    "decode",
    "devices",
    "every_s",
    "requests",
    "words",
]

FUNCTION: Final = {
    "coil": modbus.READ_COILS,
    "discrete": modbus.READ_DISCRETE,
    "holding": modbus.READ_HOLDING,
    "input": modbus.READ_INPUT,
}
_TABLE: Final = {function: table for table, function in FUNCTION.items()}
# Four unused registers cost 8 characters; a request of its own costs more than 20 (our choice).
GAP_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class Device:
    """All sensors of one bus and unit. `period_s` is the shortest of theirs; "max" = as fast as the bus
    allows."""

    bus: str
    unit: int
    name: str
    profile: Profile
    sensors: tuple[Sensor, ...]
    period_s: float | Literal["max"]
    channels: tuple[ChannelPoint, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    """Registers (or bits) of one table that one request reads, and the channels in it."""

    table: str
    first: int
    last: int
    points: tuple[ChannelPoint, ...]

    @property
    def count(self) -> int:
        return self.last - self.first + 1


def devices(site: Site, profiles: Mapping[str, Profile]) -> tuple[Device, ...]:
    """The devices of a checked site, in the order of their first sensors; no bus, no device."""
    groups: dict[tuple[str, int], list[tuple[Sensor, Profile]]] = {}
    for sensor in site.sensor:
        if sensor.bus is None:
            continue
        profile, problems = override(profiles[sensor.device], sensor.profile, f"sensor.{sensor.id}.profile")
        assert profile is not None, problems
        unit = profile.link.unit if sensor.unit is None else sensor.unit
        groups.setdefault((sensor.bus, unit), []).append((sensor, profile))
    result = []
    for (bus, unit), members in groups.items():
        sensors = tuple(sensor for sensor, _ in members)
        channels = tuple(point for sensor, profile in members for point in _points(sensor, profile))
        numbers = [sensor.period_s for sensor in sensors if sensor.period_s != "max"]
        period_s: float | Literal["max"] = min(numbers) if len(numbers) == len(sensors) else "max"
        result.append(Device(bus, unit, sensors[0].device, members[0][1], sensors, period_s, channels))
    return tuple(result)


def requests(device: Device) -> tuple[Request, ...]:
    """What must be asked for all channels, each with a resync read that no reply to another can answer."""
    link = device.profile.link
    if device.profile.uart is not None:
        return (reports.request(device.unit, device.profile, device.channels),)
    blocks = _blocks(device)
    taken = {_shape(FUNCTION[block.table], block.count) for block in blocks}
    return tuple(
        Request(
            unit=device.unit,
            tx=(tx := modbus.read_request(device.unit, FUNCTION[block.table], block.first, block.count)),
            expected=modbus.expected_length(tx),
            timeout_ms=link.reply_ms,
            late_ms=link.late_ms,
            rest_ms=link.rest_ms,
            channels=tuple(point.name for point in block.points),
            resync=_resync(device.unit, block, taken),
        )
        for block in blocks
    )


def every_s(device: Device) -> float:
    """About how often the device reports by itself; 0.0 = it is asked."""
    return reports.every_s(device.profile) if device.profile.uart is not None else 0.0


def decode(device: Device, request: Request, reply: bytes) -> tuple[Sample, ...]:
    """The samples of a checked reply, aligned with `request.channels`. NaN always has a flag."""
    if device.profile.uart is not None:
        return reports.decode(device.profile, device.channels, reply)
    _, function, first, count = modbus.parse_read(request.tx)
    content = words(function, count, modbus.reply_data(reply))
    return siblings(
        [sample(point, content, first) for point in device.channels if point.name in request.channels]
    )


def answer(device: Device, tx: bytes, world: World) -> bytes | None:
    """The device's reply to `tx`, bit for bit; None when the frame is damaged or for another unit.

    `world(sensor_id, kind)`: the truth in the kind's unit; None = unknown, which the device shows as its
    sentinel or as rest. A distance that the world does not know is taken from its depth and the mounting
    height.
    """
    if len(tx) < 4 or not modbus.has_valid_crc(tx) or tx[0] != device.unit:
        return None
    function = tx[1]
    if function not in modbus.READS or len(tx) != 8:
        return modbus.exception_reply(device.unit, function, modbus.ILLEGAL_FUNCTION)
    _, _, first, count = modbus.parse_read(tx)
    is_bits = function in modbus.BIT_READS
    most = modbus.BITS_MAX if is_bits else device.profile.link.count_max
    if not 1 <= count <= most:
        return modbus.exception_reply(device.unit, function, modbus.ILLEGAL_VALUE)
    held = _held(device, _TABLE[function], world)
    if not held:
        return modbus.exception_reply(device.unit, function, modbus.ILLEGAL_FUNCTION)
    if any(address not in held for address in range(first, first + count)):
        return modbus.exception_reply(device.unit, function, modbus.ILLEGAL_ADDRESS)
    words = [held[address] for address in range(first, first + count)]
    if is_bits:
        data = sum(bit << i for i, bit in enumerate(words)).to_bytes((count + 7) // 8, "little")
    else:
        data = struct.pack(f">{count}H", *words)
    return modbus.data_reply(device.unit, function, data)


def _points(sensor: Sensor, profile: Profile) -> Iterator[ChannelPoint]:
    if profile.inputs is None:
        for value in profile.value:
            if sensor.kind is None or sensor.kind == value.kind:
                yield ChannelPoint(f"{sensor.id}/{value.kind}", sensor, value)
        return
    inputs = profile.inputs
    assert sensor.kind is not None
    assert sensor.input is not None
    assert 1 <= sensor.input <= inputs.count
    value = Value(
        kind=sensor.kind,
        table=inputs.table,
        address=inputs.address + (sensor.input - 1) * WORDS[inputs.type],
        type=inputs.type,
        scale=inputs.scale,
        invert=sensor.invert,
    )
    yield ChannelPoint(f"{sensor.id}/{sensor.kind}", sensor, value)


def _blocks(device: Device) -> tuple[_Block, ...]:
    """Few reads that cover all channels: of a module all inputs at once, else neighbours together."""
    profile = device.profile
    if (inputs := profile.inputs) is not None:
        words = WORDS[inputs.type]
        most = modbus.BITS_MAX if inputs.table in BIT_TABLES else profile.link.count_max
        if inputs.count * words <= most:
            last = inputs.address + inputs.count * words - 1
            return (_Block(inputs.table, inputs.address, last, device.channels),)
    blocks: list[_Block] = []
    order = sorted(device.channels, key=lambda point: (point.value.table, point.value.extent))
    for point in order:
        table, (first, last) = point.value.table, point.value.extent
        if blocks and profile.link.merge and blocks[-1].table == table:
            before = blocks[-1]
            low, high = before.first, max(before.last, last)
            if first <= before.last + 1 + GAP_MAX and high - low < profile.link.count_max:
                blocks[-1] = _Block(table, low, high, (*before.points, point))
                continue
        blocks.append(_Block(table, first, last, (point,)))
    rank = {point.name: i for i, point in enumerate(device.channels)}
    return tuple(
        _Block(b.table, b.first, b.last, tuple(sorted(b.points, key=lambda p: rank[p.name]))) for b in blocks
    )


def _shape(function: int, count: int) -> tuple[int, int]:
    """What distinguishes replies: function and length. Bit reads of up to 8 inputs all look alike."""
    return function, (count + 7) // 8 if function in modbus.BIT_READS else count


def _resync(unit: int, block: _Block, taken: set[tuple[int, int]]) -> bytes:
    """A read at the same place whose reply has another length than all replies of this device.

    Fewer registers are surely there; more may be refused, and a refusal of the address or the count is an
    answer too: it can only belong to this question. Either way a device that answers in order owes us nothing
    afterwards.
    """
    function = FUNCTION[block.table]
    step = 8 if function in modbus.BIT_READS else 1
    count = next(n for n in range(1, 1 + step * (len(taken) + 1), step) if _shape(function, n) not in taken)
    return modbus.read_request(unit, function, min(block.first, 0x10000 - count), count)


def words(function: int, count: int, data: bytes) -> tuple[int, ...]:
    """The registers (or bits) in the data of a reply."""
    if function in modbus.BIT_READS:
        return tuple(data[i >> 3] >> (i & 7) & 1 for i in range(count))
    return struct.unpack(f">{count}H", data)


def _held(device: Device, table: str, world: World) -> dict[int, int]:
    """What the device holds in one table: register (or bit) -> content."""
    profile = device.profile
    held = {
        a: 0 for block in _blocks(device) if block.table == table for a in range(block.first, block.last + 1)
    }
    held |= {row.address: row.value for row in profile.setup if row.table == table}
    if profile.know is not None and profile.know.table == table:
        know = profile.know
        value = Value(kind="raw_0", table=know.table, address=know.address, type=know.type, order=know.order)
        put(held, value, know.equals & RAW_MAX[know.type])
    for point in device.channels:
        if point.value.table == table:
            put(held, point.value, raw_word(point, world))
            held |= told(point.value)
    return held
