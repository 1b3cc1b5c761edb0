"""Who is on this bus: listen first, then ask every unit number one harmless question. Only reads; prints nothing.

*Time.* A question that nobody answers costs its 8 characters, the silence and the time-out. 247 units at 9600 and 4800
baud with 250 ms: 247 * (12 + 250 + 24 + 250) ms = 132 s, and 2 * 1.2 s of listening: under 3 minutes. `worst_s` is the
same arithmetic for any choice, and what a scan takes at most when nobody answers; each device found costs a second or
two more for being recognised.

*Proof.* A reply with a good CRC and the right unit, a refusal too: whoever refuses is there. Recognised for certain is
only who shows the `know` register of a device file; who answers all reads of a file with values inside its ranges
*could be* that device.

*Slow and double.* A reply that comes after the time-out proves a slow device: the last units are asked again with a
second. Who answers three times but never cleanly is two devices with one number, or noise.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from drivers import identity, modbus, registers, reports
from drivers.device_file import Profile
from drivers.families import FAMILIES
from drivers.line import BadReply, DeviceException, Line, ReplyTimeout, Request, WireError
from drivers.port import Port
from drivers.registers import Device
from drivers.uart import Cutter
from models.reading import BAD, Sample

TIMEOUT_MS: Final = 250.0
SLOW_MS: Final = 1000.0
LISTEN_S: Final = 1.2
COULD_BE_MAX: Final = 3
_TRIES: Final = 3
_HEARD_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Setting:
    """Speed and framing of a bus."""

    baud: int
    framing: str

    def __str__(self) -> str:
        return f"{self.baud} {self.framing}"


COMMON: Final = (Setting(9600, "8N1"), Setting(4800, "8N1"))
OTHERS: Final = (
    *(Setting(baud, "8N1") for baud in (19200, 115200, 2400, 38400)),
    *(Setting(baud, framing) for framing in ("8E1", "8O1") for baud in (9600, 4800, 19200)),
)


@dataclass(frozen=True, slots=True)
class Step:
    """How far it is: `asked` of `total` questions, the setting now."""

    setting: Setting
    asked: int
    total: int


@dataclass(frozen=True, slots=True)
class Found:
    """Somebody. `unit` None: it talks by itself. `names`: device files; certain or the likeliest first."""

    setting: Setting
    unit: int | None
    names: tuple[str, ...] = ()
    is_certain: bool = False
    shown: str = ""  # a value or two, to be compared with the world
    is_slow: bool = False


@dataclass(frozen=True, slots=True)
class Unclear:
    """Bytes came, but nothing that can be understood. `unit` None: while listening."""

    setting: Setting
    unit: int | None
    what: str


Event = Step | Found | Unclear


@dataclass(slots=True)
class _Heard:
    data: bytearray = field(default_factory=bytearray)

    def take(self, data: bytes) -> None:
        self.data += data[: _HEARD_MAX - len(self.data)]


def worst_s(settings: Iterable[Setting], n_units: int, timeout_ms: float = TIMEOUT_MS) -> float:
    """Seconds that a scan takes when nobody answers."""
    total = 0.0
    for one in settings:
        question_s = 8 * modbus.char_s(one.baud, one.framing) + modbus.silence_s(one.baud, one.framing)
        answer_s = 7 * modbus.char_s(one.baud, one.framing) + timeout_ms / 1e3
        total += LISTEN_S + n_units * (question_s + answer_s)
    return total


def likely_first(profiles: Mapping[str, Profile], units: Sequence[int]) -> list[int]:
    """The units in the order in which they are asked: as devices leave the factory first."""
    factory = {p.link.unit for p in profiles.values() if p.uart is None}
    return sorted(units, key=lambda unit: (unit not in factory, unit))


async def scan(
    open_port: Callable[[Setting], Port],
    settings: Sequence[Setting],
    units: Sequence[int],
    profiles: Mapping[str, Profile],
    timeout_ms: float = TIMEOUT_MS,
) -> AsyncIterator[Event]:
    """Everybody on the wire. Raises PortError: the port cannot be opened, or was lost; what came before stands."""
    total, asked = len(settings) * len(units), 0
    known: set[int] = set()
    for setting in settings:
        yield Step(setting, asked, total)
        talker = await _listen(open_port(setting), setting, profiles)
        if talker is not None:
            yield talker
            if isinstance(talker, Found):
                asked += len(units)
                continue  # who talks by itself is alone on its line
        line = Line(open_port(setting), setting.baud, setting.framing)
        await line.open()
        try:
            late = 0
            for n, unit in enumerate(units):
                if unit not in known:
                    for event in await _ask(line, setting, unit, profiles, timeout_ms):
                        known.add(unit)
                        yield event
                if line.stats.late_replies > late:
                    for before in units[max(0, n - _TRIES) : n + 1]:
                        if before not in known:
                            for event in await _ask(line, setting, before, profiles, SLOW_MS):
                                known.add(before)
                                yield replace(event, is_slow=True) if isinstance(event, Found) else event
                    late = line.stats.late_replies
                asked += 1
                yield Step(setting, asked, total)
        finally:
            line.close()


async def _listen(port: Port, setting: Setting, profiles: Mapping[str, Profile]) -> Found | Unclear | None:
    """Who talks by itself, or answers the short question of a UART sensor."""
    heard = _Heard()
    lost: list[Exception] = []
    await port.open(heard.take, lost.append)
    try:
        await asyncio.sleep(LISTEN_S)
        if not heard.data:
            for tx in sorted({reports.ask(p) for p in _uarts(profiles, setting).values()} - {b""}):
                port.write(tx)
                await asyncio.sleep(0.15)
    finally:
        port.close()
    if lost:
        raise lost[0]
    if not heard.data:
        return None
    return streaming(bytes(heard.data), setting, profiles) or Unclear(
        setting,
        None,
        f"{len(heard.data)} bytes came unasked, but no frame that is known: {heard.data[:12].hex(' ')}",
    )


def streaming(data: bytes, setting: Setting, profiles: Mapping[str, Profile]) -> Found | None:
    """The sensor that sent these bytes: two whole reports without a check sum, one with. None: nobody we know."""
    for name, family in FAMILIES.items():
        frames = [frame for frame in Cutter(family.cut).feed(data) if family.words_of(frame) is not None]
        mine = {
            key: profile
            for key, profile in _uarts(profiles, setting).items()
            if profile.uart is not None and profile.uart.family == name
        }
        fitting = [key for key in mine if frames and reports.words_of(mine[key], frames[-1]) is not None]
        is_asked = any(reports.ask(mine[key]) for key in fitting)
        if fitting and (len(frames) >= 2 or is_asked):
            profile = mine[fitting[0]]
            device = registers.lone(fitting[0], profile, profile.link.unit)
            return Found(
                setting, None, tuple(fitting[:COULD_BE_MAX]), len(fitting) == 1, _shown(device, frames[-1])
            )
    return None


async def _ask(
    line: Line, setting: Setting, unit: int, profiles: Mapping[str, Profile], timeout_ms: float
) -> list[Event]:
    """Whoever answers as this unit."""
    factory = next(
        (p for p in profiles.values() if p.uart is None and p.link.unit == unit and p.link.unit != 1), None
    )
    tx = modbus.read_request(unit, modbus.READ_HOLDING, 0, 1)
    questions = [_question(unit, tx, timeout_ms)]
    if factory is not None:
        first = registers.requests(registers.lone("factory", factory, unit))[0]
        questions.insert(0, replace(first, timeout_ms=timeout_ms, late_ms=0.0, resync=None))
    unclean = 0
    for question in questions:
        for _ in range(_TRIES):
            try:
                await line.exchange(question)
            except DeviceException:
                pass
            except ReplyTimeout:
                break
            except BadReply:
                unclean += 1
                continue
            return [await _recognise(line, setting, unit, profiles)]
        if unclean:
            break
    if unclean < _TRIES:
        return []
    what = f"something answers as unit {unit}, but never cleanly: two devices with that number, or noise"
    return [Unclear(setting, unit, what)]


async def _recognise(line: Line, setting: Setting, unit: int, profiles: Mapping[str, Profile]) -> Found:
    """Which device file fits: one whose `know` register is right, else those all of whose values are in range."""
    modbus_only = {name: p for name, p in profiles.items() if p.uart is None}
    refused: set[bytes] = set()
    for name, profile in modbus_only.items():
        device = registers.lone(name, profile, unit)
        request = identity.know_request(device)
        if request is None or request.tx in refused:
            continue
        reply = await _read(line, request)
        if reply is None:
            refused.add(request.tx)
        elif identity.stranger(device, request, reply) is None:
            return Found(setting, unit, (name,), True, await _values(line, device) or "")
    fits: list[tuple[int, str, str]] = []
    for name, profile in modbus_only.items():
        if profile.know is not None:
            continue
        shown = await _values(line, registers.lone(name, profile, unit))
        if shown is not None:
            n = profile.inputs.count if profile.inputs is not None else len(profile.value)
            fits.append((-n, name, shown))
    fits.sort()
    return Found(
        setting, unit, tuple(name for _, name, _ in fits[:COULD_BE_MAX]), False, fits[0][2] if fits else ""
    )


async def _values(line: Line, device: Device) -> str | None:
    """The first values in words; None: this device is another one."""
    shown = []
    for request in registers.requests(device):
        reply = await _read(line, request)
        if reply is None:
            return None
        samples = registers.decode(device, request, reply)
        if any(sample.quality & BAD for sample in samples):
            return None
        shown += [_words(sample) for sample in samples]
    return ", ".join(shown[:3])


async def _read(line: Line, request: Request) -> bytes | None:
    """The reply to one read of recognition, without the caution that values need; None: none, or a refusal."""
    await asyncio.sleep(max(0.0, line.ready_in_s(request.unit)))
    try:
        return await line.exchange(replace(request, late_ms=0.0, resync=None))
    except WireError:
        return None


def _question(unit: int, tx: bytes, timeout_ms: float) -> Request:
    return Request(unit, tx, modbus.expected_length(tx), timeout_ms, 0.0, 0.0, (), None)


def _uarts(profiles: Mapping[str, Profile], setting: Setting) -> dict[str, Profile]:
    return {
        name: profile
        for name, profile in profiles.items()
        if profile.uart is not None
        and (profile.link.baud, profile.link.framing) == (setting.baud, setting.framing)
    }


def _shown(device: Device, frame: bytes) -> str:
    (request,) = registers.requests(device)
    return ", ".join(_words(sample) for sample in registers.decode(device, request, frame)[:3])


def _words(sample: Sample) -> str:
    return f"{sample.kind} {sample.value:g}"
