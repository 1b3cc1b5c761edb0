"""One sensor under the glass: what was asked, the bytes that came, every register in all readings, and the values.

`answer` is made by the agent (control socket, `probe`) from what its pollers saw last, so that a technician can look
while everything runs; `edge/commands/probe.py` makes the same by itself when no agent runs. `lines` writes it for
people. Where nothing was read there is no number, but what to look at, in order.
"""

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from drivers import modbus, registers, reports
from drivers.coding import ChannelPoint
from drivers.line import WireError
from drivers.registers import Device
from edge.poller import Poller
from edge.seen import Seen
from models.reading import KINDS, flag_names, quality_class
from models.site import Bus

_TABLES: Final = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_ORDERS: Final = ("ABCD", "CDAB", "BADC", "DCBA")
_PAIRS_MAX: Final = 8


def answer(pollers: Iterable[Poller], sensor: str, now_s: float) -> dict[str, Any]:
    """What is known of the sensor's questions; `now_s` in loop seconds. `ok` False: no poller has it."""
    for poller in pollers:
        mine = [seen for seen in poller.seen if any(one.id == sensor for one in seen.device.sensors)]
        if mine:
            return {
                "ok": True,
                "sensor": sensor,
                "bus": _bus(poller.bus),
                "up": poller.state.is_up is not False,
                "reason": poller.state.reason if poller.state.is_up is False else "",
                "device": mine[0].device.name,
                "unit": mine[0].device.unit,
                "is_uart": mine[0].device.profile.uart is not None,
                "factory": f"{mine[0].device.profile.link.baud} {mine[0].device.profile.link.framing}",
                "factory_unit": mine[0].device.profile.link.unit,
                "confidence": mine[0].device.profile.confidence,
                "asked": [_asked(seen, now_s) for seen in mine],
            }
    return {"ok": False, "why": f"no bus has a sensor {sensor!r}"}


def _bus(bus: Bus) -> dict[str, Any]:
    return {"id": bus.id, "port": bus.port, "speed": f"{bus.baud} {bus.framing}"}


def _asked(seen: Seen, now_s: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "tx": seen.request.tx.hex(" "),
        "heard": seen.heard.hex(" "),
        "why": seen.why,
        "age_s": round(now_s - seen.at_s, 1) if seen.good_n or seen.bad_n else None,
        "good": seen.good_n,
        "bad": seen.bad_n,
        "words": [],
        "pairs": [],
        "values": [],
    }
    if seen.why or not seen.heard:
        return row
    try:
        samples = registers.decode(seen.device, seen.request, seen.heard)
    except (WireError, ValueError, IndexError, AssertionError) as error:
        return row | {"why": f"cannot be decoded: {error}"}
    table, first, words = _words(seen)
    row["words"] = [_word(table, first + i, word) for i, word in enumerate(words)]
    if table not in ("coil", "discrete"):
        row["pairs"] = [
            _pair(first + i, words[i : i + 2]) for i in _pair_starts(seen.device, first, len(words))
        ]
    for channel, sample in zip(seen.request.channels, samples, strict=True):
        is_number = not math.isnan(sample.value)
        row["values"].append(
            {
                "channel": channel,
                "value": sample.value if is_number else None,
                "unit": KINDS[sample.kind].unit,
                "class": quality_class(sample.quality).value,
                "flags": flag_names(sample.quality),
            }
        )
    return row


def _words(seen: Seen) -> tuple[str, int, Sequence[int]]:
    """Table, first address and content of what was read."""
    if seen.device.profile.uart is not None:
        return "word", 0, reports.words_of(seen.device.profile, seen.heard) or ()
    _, function, first, count = modbus.parse_read(seen.request.tx)
    return _TABLES[function], first, registers.words(function, count, modbus.reply_data(seen.heard))


def _word(table: str, address: int, word: int) -> dict[str, Any]:
    signed = word - 0x10000 if word & 0x8000 else word
    return {"at": f"{table} {address} (0x{address:04X})", "hex": f"{word:04X}", "u16": word, "i16": signed}


def _pair_starts(device: Device, first: int, n: int) -> list[int]:
    """Where 32-bit values begin: those of the profile, else every second register."""
    own = [_at(point, first) for point in device.channels if point.value.words == 2]
    starts = [i for i in own if 0 <= i < n - 1] or list(range(0, n - 1, 2))
    return starts[:_PAIRS_MAX]


def _at(point: ChannelPoint, first: int) -> int:
    return point.value.address - first


def _pair(address: int, words: Sequence[int]) -> dict[str, Any]:
    data = struct.pack(">HH", *words)
    found: dict[str, Any] = {"at": f"{address}..{address + 1}"}
    for order in _ORDERS:
        ordered = bytes(data["ABCD".index(letter)] for letter in order)
        number = struct.unpack(">f", ordered)[0]
        found[order] = {
            "u32": int.from_bytes(ordered, "big"),
            "i32": int.from_bytes(ordered, "big", signed=True),
            "f32": float(f"{number:.7g}") if math.isfinite(number) else None,
        }
    return found


# For people


def lines(found: dict[str, Any]) -> list[str]:
    """The answer as lines of at most about 100 characters."""
    bus = found["bus"]
    unit = "" if found["is_uart"] else f", unit {found['unit']}"
    out = [f"{found['sensor']}: {found['device']} on {bus['id']} ({bus['port']}, {bus['speed']}){unit}"]
    if found["confidence"] == "unproven":
        out.append("  its register map is UNPROVEN: compare the values with the device's own display")
    if not found["up"]:
        out.append(f"BUS DOWN: {found['reason']}")
    for row in found["asked"]:
        out += _row_lines(row, found)
    return out


def _row_lines(row: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    age = "" if row["age_s"] is None else f"   {row['age_s']:g} s ago"
    yield f"asked  {row['tx'] or '(nothing: it talks by itself)'}{age}"
    yield f"heard  {row['heard'] or '(nothing)'}"
    if row["why"]:
        yield f"NO VALUE: {row['why']}" + (f" ({row['bad']} times in a row)" if row["bad"] > 1 else "")
        yield from (f"  {i}. {text}" for i, text in enumerate(advice(row["why"], row["heard"], found), 1))
        return
    for word in row["words"]:
        if word["at"].startswith(("coil", "discrete")):
            yield f"  {word['at']:<26} {word['u16']}"
            continue
        yield f"  {word['at']:<26} 0x{word['hex']}  u16 {word['u16']:<6} i16 {word['i16']}"
    for pair in row["pairs"]:
        yield f"  {pair['at']} as 32 bits:"
        for order in _ORDERS:
            one = pair[order]
            f32 = "no number" if one["f32"] is None else f"{one['f32']:g}"
            yield f"    {order}  u32 {one['u32']:<11} i32 {one['i32']:<12} f32 {f32}"
    for value in row["values"]:
        shown = "no value" if value["value"] is None else f"{value['value']:g} {value['unit']}".strip()
        flags = f" ({', '.join(value['flags'])})" if value["flags"] else ""
        yield f"  = {value['channel']}  {shown}  {value['class']}{flags}"


def advice(why: str, heard: str, found: dict[str, Any]) -> list[str]:
    """What to look at, the likeliest first."""
    bus = found["bus"]
    factory, speed = found["factory"], bus["speed"]
    setting = f"the device leaves the factory with {factory}, the bus has {speed}"
    if not found["up"]:
        return [
            "the adapter: plugged in, its own light on, `ls /dev/serial/by-path/`",
            "its cable and the hub",
        ]
    if found["is_uart"]:
        wires = "the sensor's TX goes to the adapter's RX; 3.3 V and RS-232 levels are not the same thing"
        if heard:
            return [f"baud: {setting}", "the model: another one frames its reports in another way", wires]
        return ["the supply: fan or light of the sensor on?", wires, f"baud: {setting}"]
    if why.startswith("exception"):
        return [
            f"the model: this device answers, but has not what {found['device']} has at that address",
            "exception 6 = busy, 4 = the device is ill, 2 = it has no such register",
        ]
    if heard:
        return [
            f"baud and parity: {setting}",
            "two devices with one unit number answer at once: unplug one of them",
            "noise: shield at one end, 120 ohm at both ends of the bus, not along a mains cable",
        ]
    return [
        "the supply of the sensor: is its light on?",
        "A and B: swap the two wires once; makers do not agree on the letters",
        f"baud and parity: {setting}",
        f"the unit number: {found['unit']} here, {found['factory_unit']} from the factory (`wardwatch scan` looks)",
        "the cable: measure between A and B: about 0.2 V and more at rest",
    ]
