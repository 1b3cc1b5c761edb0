"""Who is on this wire: listen first, then ask each address with reads, and recognise what answers.

*Listen* at each baud for LISTEN_S, three times that once bytes came. A sensor that talks by itself is alone
on its line and ends the scan; so do answers to another master, who must not be disturbed. *Ask* two reads of
one register, function 3 and 4; an exception proves a device, too. What garbles is asked again slowly. An
address that answers is asked again and heard out, then *recognised*: a profile's [know] that fits is certain,
else what serves a profile's own questions with values inside their ranges "could be" that, at most
COULD_BE_MAX.

*How long.* A question costs 3.5 silent characters, 8 of the request, the time-out, 7 of the reply, 2 ms of
this machine: 19.3 + 130 + 2 ms at 9600 8N1, 38.5 + 130 + 2 ms at 4800. Two questions to each of 248 addresses
(1..247, and 255, with which some leave the factory) are 75.0 + 84.6 s; a few factory settings at other speeds
take 1 s, opening and listening at 4 speeds at most 15.2 s: 176 s, 166 s when nothing is heard. So TIMEOUT_MS
was chosen: a person on a ladder waits three minutes (our choice). Slower devices show by their late answers.

Limits: nothing is ever written. Two devices that answer with equal bytes at one moment look like one.
"""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from drivers import identity, modbus, registers, reports
from drivers.coding import ChannelPoint
from drivers.device_file import WORDS, Profile, Value
from drivers.families import FAMILIES
from drivers.line import MARGIN_S, DeviceException, Line, Request, WireError
from drivers.port import Port, PortError
from drivers.registers import Device
from models.reading import Quality, Sample
from models.site import Sensor

TIMEOUT_MS: Final = 130.0
SLOW_MS: Final = 500.0  # the second chance of what garbled
VALUE_MS, LATE_MS = 300.0, 200.0  # of the questions that recognise: they are few
LISTEN_S: Final = 1.2  # many sensors talk once a second
OPEN_S, MACHINE_S = 0.1, 0.002  # what a port takes to open, what each question takes beside its wire
NOISE_BYTES: Final = 3  # a line without bias adds a byte or two when a driver lets go of it
GARBLED_MAX: Final = 3  # then a speed is given up, unless somebody answers well there
TRIES, COULD_BE_MAX, TAIL_BYTES, DATA_BYTES_MAX = 3, 3, 512, 4096
# Most maps have holding 0; input 1 is served by those, too, that have nothing at input 0 (XY-MD02).
QUESTIONS: Final = ((modbus.READ_HOLDING, 0), (modbus.READ_INPUT, 1))

Profiles = Mapping[str, Profile]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Link:
    """A setting of the wire: baud and framing ("8N1")."""

    baud: int
    framing: str

    def __str__(self) -> str:
        return f"{self.baud} {self.framing}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Which addresses are asked at which settings, in this order. `timeout_ms` as in `drivers.line.Request`."""

    steps: tuple[tuple[Link, tuple[int, ...]], ...]
    timeout_ms: float = TIMEOUT_MS
    listen_s: float = LISTEN_S

    @property
    def worst_s(self) -> float:
        """Seconds that it takes at most when nobody answers; `each_s` more for each address that does."""
        asked_s = sum(len(QUESTIONS) * len(units) * self._question_s(link) for link, units in self.steps)
        return asked_s + len(self.steps) * OPEN_S + len(_listens(self)) * (OPEN_S + 3 * self.listen_s)

    def each_s(self, profiles: Profiles) -> float:
        """Seconds more at most for an address that answers or garbles: it may ignore all that it lacks."""
        char_s = max(modbus.char_s(link.baud, link.framing) for link, _ in self.steps)
        devices = [_device(name, one, 1) for name, one in profiles.items() if one.uart is None]
        asked = {r.tx: r for d in devices for r in (identity.know_request(d), *registers.requests(d)) if r}
        values_s = sum((VALUE_MS + LATE_MS) / 1e3 + (r.expected + 16) * char_s for r in asked.values())
        tries_s = (4 + 2 * TRIES) * (max(SLOW_MS, self.timeout_ms) / 1e3 + 32 * char_s)
        return values_s + tries_s + MACHINE_S * (len(asked) + 4 + 2 * TRIES)

    def _question_s(self, link: Link) -> float:
        wire_s = modbus.silence_s(link.baud, link.framing) + 15 * modbus.char_s(link.baud, link.framing)
        return wire_s + MARGIN_S + self.timeout_ms / 1e3 + MACHINE_S


@dataclass(frozen=True, slots=True)
class Doing:
    """What goes on: listening (`n` 0 of 0), or asking the n-th of `of` addresses."""

    link: Link
    n: int = 0
    of: int = 0


@dataclass(frozen=True, slots=True)
class Match:
    """A device file that fits, and what the device says by it."""

    name: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A device. `unit` None: it talks by itself, in frames of `family`. No matches: no device file fits."""

    link: Link
    unit: int | None
    matches: tuple[Match, ...]
    is_certain: bool = False
    family: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """twins: two devices answer as `unit`; garbled: never a frame; master: `unit` answers somebody else."""

    link: Link
    unit: int | None  # that was asked then; None: nothing was
    what: Literal["twins", "garbled", "master"]
    heard: bytes


Event = Doing | Found | Trouble


async def scan(
    plan: Plan, profiles: Profiles, open_port: Callable[[Link], Port], sleep: Sleep
) -> AsyncGenerator[Event, None]:
    """All that is found, as it is found. Only reads. May be cancelled or closed anywhere.

    Raises PortError: before the first event the port cannot be opened; later, it was lost.
    """
    for link, units in [*((link, ()) for link in _listens(plan)), *plan.steps]:
        wire = _Wire(link, open_port(link), plan, sleep, profiles)
        try:
            await wire.line.open()
            for n, unit in enumerate(units or (None,), 1):
                yield Doing(link, n if units else 0, len(units))
                for event in await (wire.listen() if unit is None else wire.visit(unit)):
                    yield event
                    if event.unit is None if isinstance(event, Found) else event.what == "master":
                        return
                if len(wire.garbled) >= GARBLED_MAX and not wire.answered:
                    break
        finally:
            wire.line.close()


def streaming(data: bytes) -> str | None:
    """The family (`drivers.families`) of a sensor that talks by itself: two good frames in a row, or None.

    >>> streaming(b"34\\rR1234\\rR1235\\r"), streaming(b"R1234\\r")
    ('maxbotix-mm', None)
    """
    return next((name for name in FAMILIES if not FAMILIES[name].ask and _second(name, data)), None)


def _second(family: str, data: bytes) -> bytes:
    """The second of two whole frames of a family without a byte between; b"" = there are none."""
    was_frame = False
    while data:
        frame, done = FAMILIES[family].cut(data)
        if frame and was_frame and done == len(frame):
            return frame
        if not done:
            break
        was_frame, data = bool(frame), data[done:]
    return b""


class _Tap:
    """A port that remembers what came, because a Line forgets what belongs to nobody."""

    def __init__(self, port: Port) -> None:
        self.data, self.tail = bytearray(), b""
        self._port, self.write, self.close = port, port.write, port.close

    async def open(self, received: Callable[[bytes], None], lost: Callable[[PortError], None]) -> None:
        def hear(data: bytes) -> None:
            self.data += data[: max(0, DATA_BYTES_MAX - len(self.data))]
            self.tail = (self.tail + data)[-TAIL_BYTES:]
            received(data)

        await self._port.open(hear, lost)


class _Wire:
    """The wire at one setting. `answered`: addresses found there; `garbled`: those that answer badly."""

    def __init__(self, link: Link, port: Port, plan: Plan, sleep: Sleep, profiles: Profiles) -> None:
        self.answered, self.garbled = set[int](), set[int]()
        self._link, self._plan, self._sleep, self._profiles = link, plan, sleep, profiles
        self._tap = _Tap(port)
        self.line = Line(self._tap, link.baud, link.framing)
        self._asked: list[int] = []

    async def listen(self) -> list[Found | Trouble]:
        """A talker, another master, or bytes of nobody; mostly nothing."""
        await self._sleep(self._plan.listen_s)
        for _ in range(4):
            if self._tap.data and not streaming(self._tap.tail):
                await self._sleep(self._plan.listen_s / 2)
        if talker := self._talker():
            return [talker]
        heard = bytes(self._tap.data)
        units = [frame[0] for frame in modbus.frames(heard)]
        if len(units) > 1:
            return [Trouble(self._link, unit, "master", heard) for unit in sorted(set(units))]
        return [Trouble(self._link, None, "garbled", heard)] if len(heard) > NOISE_BYTES else []

    def _talker(self) -> Found | None:
        family = streaming(self._tap.tail)
        if family is None:
            return None
        frame = _second(family, self._tap.tail)
        kin = [(n, p) for n, p in self._profiles.items() if p.uart is not None and p.uart.family == family]
        own = [(n, p) for n, p in kin if not reports.ask(p) and reports.words_of(p, frame) is not None]
        fits = [(p, Match(n, reports.decode(p, _device(n, p, 1).channels, frame))) for n, p in own]
        return Found(self._link, None, _best(fits, self._link, None), family=family)

    async def visit(self, unit: int) -> list[Found | Trouble]:
        """What asking this address shows of it, and of the one before: its answer may have come late."""
        self._asked.append(unit)
        self._tap.data.clear()
        for request in _questions(unit, self._plan.timeout_ms):
            if await self._exchange(request) is not None:
                return await self._judged(request)
        heard = self._rest(unit)
        if len(heard) <= NOISE_BYTES:
            return []
        if (talker := self._talker()) is not None:
            return [talker]
        spoke = {frame[0] for frame in modbus.frames(heard)}
        slow_ms = max(SLOW_MS, self._plan.timeout_ms)
        again = [one for one in self._asked if one in (spoke or self._asked[-2:])]
        times = {one: slow_ms if one in spoke or one != unit else self._plan.timeout_ms for one in again}
        left = times.keys() - self.answered - self.garbled
        for request in (r for one in again if one in left for r in _questions(one, times[one])):
            self._tap.data.clear()
            if await self._exchange(request) is not None or len(self._rest(request.unit)) > NOISE_BYTES:
                return await self._judged(request)
        return []

    async def _judged(self, request: Request) -> list[Found | Trouble]:
        """The same question until two of three agree: one answer, or more, or none that can be read."""
        fine, odd, tried, is_read, spoilt, unit = 0, 0, 0, False, b"", request.unit
        while (tried := tried + 1) <= TRIES and max(fine, odd) <= TRIES // 2:
            self._tap.data.clear()
            if await self._exchange(request) is not None:  # else its whole time was heard
                await self._sleep(request.timeout_ms / 1e3)
            rest = self._rest(unit)
            own = [frame for frame in modbus.frames(rest) if frame[0] == unit]
            if len(own) == 1 and len(rest) - len(own[0]) <= NOISE_BYTES:
                fine += 1
            elif len(rest) > NOISE_BYTES:
                odd, spoilt, is_read = odd + 1, rest, is_read or bool(own)
        if odd > TRIES // 2:
            self.garbled.add(unit)
            return [Trouble(self._link, unit, "twins" if is_read or fine else "garbled", spoilt)]
        if not fine:
            return []
        self.answered.add(unit)
        matches, is_certain = await self._recognised(unit)
        return [Found(self._link, unit, matches, is_certain)]

    def _rest(self, unit: int) -> bytes:
        """What came, without the echoes of a two-wire adapter."""
        one, other = (request.tx for request in _questions(unit, 0.0))
        return bytes(self._tap.data).replace(one, b"", 1).replace(other, b"", 1)

    async def _exchange(self, request: Request) -> bytes | None:
        try:
            return await self.line.exchange(request)
        except DeviceException:
            return self.line.heard
        except WireError:
            return None

    async def _recognised(self, unit: int) -> tuple[tuple[Match, ...], bool]:
        """The device files that fit, the likeliest first, and whether the device said so itself."""
        replies: dict[bytes, bytes | None] = {}
        devices = [_device(name, one, unit) for name, one in self._profiles.items() if one.uart is None]
        for device in devices:
            if (request := identity.know_request(device)) is not None:
                reply = await self._read(request, replies)
                if reply is not None and identity.stranger(device, request, reply) is None:
                    return (Match(device.name, await self._values(device, replies)),), True
        others = [device for device in devices if device.profile.know is None]
        fits = [(one.profile, Match(one.name, await self._values(one, replies))) for one in others]
        return _best(fits, self._link, unit), False

    async def _values(self, device: Device, replies: dict[bytes, bytes | None]) -> tuple[Sample, ...]:
        samples: tuple[Sample, ...] = ()
        for request in registers.requests(device):
            if (reply := await self._read(request, replies)) is None:
                return ()
            samples += registers.decode(device, request, reply)
        return samples

    async def _read(self, request: Request, replies: dict[bytes, bytes | None]) -> bytes | None:
        """The reply, each question asked once; None when there is none, or a refusal."""
        if request.tx not in replies:
            frame = await self._exchange(replace(request, timeout_ms=VALUE_MS, late_ms=LATE_MS, resync=None))
            is_data = frame is not None and modbus.exception_code(frame) is None
            replies[request.tx] = frame if is_data else None
        return replies[request.tx]


def _best(fits: list[tuple[Profile, Match]], link: Link, unit: int | None) -> tuple[Match, ...]:
    """The likeliest first: many values that say something, then the factory's setting, then many bits."""

    def rank(one: tuple[Profile, Match]) -> tuple[int, int, int, str]:
        profile, match = one
        is_bits = any(value.type == "bit" for value in profile.value) or profile.inputs is not None
        telling = 0 if is_bits else sum(1 for one in match.samples if one.value and not one.quality)
        at_home = (profile.link.baud, profile.link.framing) == (link.baud, link.framing)
        return -telling, -at_home - (profile.link.unit == unit), -len(match.samples), match.name

    bad = Quality.RANGE | Quality.PAIR
    told = [match for _, match in sorted(fits, key=rank) if match.samples]
    good = [m for m in told if not any(math.isnan(one.value) or one.quality & bad for one in m.samples)]
    return tuple(good[:COULD_BE_MAX])


def _questions(unit: int, timeout_ms: float) -> Iterator[Request]:
    """Answers to one cannot be taken for answers to the other: nothing needs to be waited out between."""
    for function, address in QUESTIONS:
        tx = modbus.read_request(unit, function, address, 1)
        yield Request(unit, tx, modbus.expected_length(tx), timeout_ms, 0.0, 0.0, (), None)


def _device(name: str, profile: Profile, unit: int) -> Device:
    """A device of this profile; the channels of a module are its inputs, as raw values."""
    sensor = Sensor(id="scan", device=name, place="scan")
    values, inputs = profile.value, profile.inputs
    if inputs is not None:
        step = WORDS[inputs.type]
        like = {"kind": "raw_0", "table": inputs.table, "type": inputs.type, "scale": inputs.scale}
        at = range(inputs.address, inputs.address + inputs.count * step, step)
        values = tuple(Value.model_validate({**like, "address": address}) for address in at)
    points = tuple(ChannelPoint(f"{i}/{value.kind}", sensor, value) for i, value in enumerate(values, 1))
    return Device("scan", unit, name, profile, (sensor,), 1.0, points)


def _listens(plan: Plan) -> list[Link]:
    """Where to listen: each baud once, in its first framing."""
    return list({link.baud: link for link, _ in reversed(plan.steps)}.values())[::-1]
