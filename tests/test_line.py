"""One question at a time on one wire: silence, limits, late replies, rest. Virtual time, real bytes."""

import asyncio
from collections.abc import Callable, Iterable

import pytest

from drivers import modbus
from drivers.line import BadReply, DeviceException, Line, ReplyTimeout, Request
from drivers.port import PortError
from tests.bench.storm import CASES, storm
from tests.wire import WirePort, in_virtual_time

CHAR_S = 10 / 9600
Script = Callable[[bytes], Iterable[tuple[float, bytes]]]


def question(
    unit: int = 1, *, address: int = 0, count: int = 1, rest_ms: float = 0.0, resync: int | None = 2
) -> Request:
    """A read of holding registers, 200 ms for the reply, 1000 ms for late ones; resync reads other ones."""
    tx = modbus.read_request(unit, 3, address, count)
    again = None if resync is None else modbus.read_request(unit, 3, address, resync)
    return Request(unit, tx, modbus.expected_length(tx), 200.0, 1000.0, rest_ms, ("s/raw_0",), again)


def words(unit: int, *values: int) -> bytes:
    return modbus.data_reply(unit, 3, b"".join(v.to_bytes(2, "big") for v in values))


def echoing_count(tx: bytes) -> bytes:
    unit, _, _, count = modbus.parse_read(tx)
    return words(unit, *[5] * count)


def line_on(script: Script) -> tuple[Line, WirePort]:
    port = WirePort(script)
    return Line(port, 9600, "8N1"), port


def test_a_reply_comes_back_whole_and_the_next_request_waits_for_the_silence() -> None:
    line, port = line_on(lambda tx: [(0.01, echoing_count(tx))])

    async def main() -> None:
        await line.open()
        for _ in range(50):
            assert await line.exchange(question()) == words(1, 5)
        gaps = [b[0] - a[0] for a, b in zip(port.written, port.written[1:], strict=False)]
        # request 8 characters, 10 ms, reply 7 characters, 3.5 of silence, 30 us
        assert gaps == pytest.approx([18.5 * CHAR_S + 0.01 + 30e-6] * 49, abs=2e-6)

    in_virtual_time(main)
    assert port.frames_too_early == 0
    assert (line.stats.exchanges, line.stats.replies, line.stats.garbage_bytes) == (50, 50, 0)


def test_a_request_that_was_given_up_still_occupies_the_wire_for_its_characters() -> None:
    line, port = line_on(lambda tx: [(0.005, echoing_count(tx))] if tx[0] == 2 else [])

    async def main() -> None:
        await line.open()
        task = asyncio.create_task(line.exchange(question(1)))
        await asyncio.sleep(3.5 * CHAR_S + 1e-3)  # the request's first byte is out
        task.cancel()
        await asyncio.wait([task])
        assert await line.exchange(question(2)) == words(2, 5)

    in_virtual_time(main)
    first, second = (at_s for at_s, _ in port.written)
    assert second - first == pytest.approx(11.5 * CHAR_S, abs=1e-4)
    assert port.frames_too_early == 0


def test_trickling_bytes_do_not_prolong_the_time_out() -> None:
    def drip(tx: bytes) -> list[tuple[float, bytes]]:
        return [(0.05 * i, bytes((byte,))) for i, byte in enumerate(words(1, 5))]

    line, port = line_on(drip)

    async def main() -> None:
        await line.open()
        await asyncio.sleep(1)
        start_s = port.loop.time()
        with pytest.raises(BadReply) as error:
            await line.exchange(question())
        assert error.value.reason == "short"
        assert port.loop.time() - start_s == pytest.approx(0.2 + 15 * CHAR_S)

    in_virtual_time(main)


def test_a_device_that_never_stops_talking_ends_in_time_and_fills_no_memory() -> None:
    def babble(tx: bytes) -> list[tuple[float, bytes]]:
        return [(0.0, b"\x01\x03\xff" * 20_000)]  # five seconds of headers that promise long frames

    port = WirePort(babble, 115_200)
    line = Line(port, 115_200, "8N1")

    async def main() -> None:
        await line.open()
        with pytest.raises(BadReply):
            await line.exchange(question())
        for _ in range(3):  # other units are not reached either; each attempt is bounded and sends nothing
            start_s = port.loop.time()
            with pytest.raises(BadReply, match="never falls silent"):
                await line.exchange(question(2))
            assert port.loop.time() - start_s < 0.6
        assert len(line._received) == 2048  # of some 20,000 so far
        await asyncio.sleep(70)
        with pytest.raises(BadReply):  # it starts again: only our asking makes it
            await line.exchange(question(2))

    in_virtual_time(main)
    assert len(port.written) == 2
    assert line.stats.garbage_bytes > 50_000


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("01 03 02 05 dd ba 8d", "crc"),  # a flipped bit
        ("01 03 02 05", "short"),  # cut off
        ("02 03 02 05 dc fe 8d", "unit"),  # somebody else
        ("01 04 02 05 dc bb f9", "function"),  # an answer to another question
        ("01 03 04 05 dc 00 01 fa c5", "byte_count"),  # more than asked
    ],
)
def test_a_reply_that_cannot_be_believed_gives_its_reason_and_never_a_value(reply: str, reason: str) -> None:
    line, _ = line_on(lambda tx: [(0.01, bytes.fromhex(reply))])

    async def main() -> None:
        await line.open()
        with pytest.raises(BadReply) as error:
            await line.exchange(question())
        assert error.value.reason == reason
        assert line.ready_in_s(1) == pytest.approx(1.0)
        assert line.ready_in_s(2) == 0.0

    in_virtual_time(main)
    assert line.stats.crc_errors == (reason == "crc")


@pytest.mark.parametrize(
    ("stream", "garbage"),
    [
        ("00 ff 01 03 02 05 dc ba 8d", 6),  # the transceiver's turn-on glitch
        ("01 03 00 00 00 01 84 0a 01 03 02 05 dc ba 8d", 0),  # a two-wire adapter echoes
        ("02 03 02 00 07 bd 86 01 03 02 05 dc ba 8d", 21),  # another unit talks unasked
        ("01 03 02 05 dc ba 8d 00", 2),  # a glitch behind it; the third one is not seen any more
    ],
)
def test_a_reply_among_other_bytes_is_found_and_the_rest_is_counted(stream: str, garbage: int) -> None:
    line, port = line_on(lambda tx: [(0.01, bytes.fromhex(stream))])

    async def main() -> None:
        await line.open()
        for _ in range(3):
            assert await line.exchange(question()) == bytes.fromhex("01 03 02 05 dc ba 8d")

    in_virtual_time(main)
    assert port.frames_too_early == 0
    assert (line.stats.replies, line.stats.garbage_bytes) == (3, garbage)


@pytest.mark.parametrize("frame", ["05 82 06 81 63", "01 83 06 c1 32"])
def test_busy_is_an_exception_and_no_value(frame: str) -> None:
    reply = bytes.fromhex(frame)
    line, _ = line_on(lambda tx: [(0.01, reply)])
    tx = modbus.read_request(reply[0], reply[1] & 0x7F, 0, 8)
    request = Request(reply[0], tx, modbus.expected_length(tx), 200.0, 1000.0, 0.0, (), None)

    async def main() -> None:
        await line.open()
        with pytest.raises(DeviceException) as error:
            await line.exchange(request)
        assert error.value.code == 6
        assert line.ready_in_s(reply[0]) == 0.0  # it lives: may be asked again soon

    in_virtual_time(main)


def test_a_device_that_needs_rest_gets_it_while_others_are_asked() -> None:
    # deaf to requests that start less than 100 ms after its own last answer; frames of the field case
    answered_s = -1.0
    reads = [bytes.fromhex("0a 03 10 04 00 02 80 71"), bytes.fromhex("0a 03 10 6a 00 02 e1 ac")]
    reply = bytes.fromhex("0a 03 04 00 00 00 00 40 f3")

    def script(tx: bytes) -> list[tuple[float, bytes]]:
        nonlocal answered_s
        if tx[0] != 10:
            return [(0.005, echoing_count(tx))]
        start_s = port.loop.time() - len(tx) * port.char_s
        if start_s - answered_s < 0.1:
            return []
        answered_s = port.loop.time() + 0.005 + len(reply) * port.char_s
        return [(0.005, reply)]

    line, port = line_on(script)
    first, second = (Request(10, tx, 9, 200.0, 1000.0, 100.0, (), None) for tx in reads)

    async def main() -> None:
        await line.open()
        for _ in range(5):
            assert await line.exchange(first) == reply
            assert line.ready_in_s(10) == pytest.approx(0.1, abs=1e-4)
            await line.exchange(question(2))  # meanwhile
            assert 0.0 < line.ready_in_s(10) < 0.1
            assert await line.exchange(second) == reply
        hasty = Request(10, reads[0], 9, 200.0, 1000.0, 0.0, (), None)
        await asyncio.sleep(0.2)
        assert await line.exchange(hasty) == reply
        with pytest.raises(ReplyTimeout):  # without the key every second read is lost
            await line.exchange(hasty)

    in_virtual_time(main)


def test_a_late_reply_is_counted_and_dropped_even_in_the_middle_of_another_exchange() -> None:
    def script(tx: bytes) -> list[tuple[float, bytes]]:
        unit, _, _, count = modbus.parse_read(tx)
        if unit == 1 and count == 1:
            return [(0.32, words(1, 1111))]
        if unit == 2:
            return [(0.18, words(2, 2222))]
        return [(0.01, words(1, 7, 7))]

    line, port = line_on(script)

    async def main() -> None:
        await line.open()
        with pytest.raises(ReplyTimeout):
            await line.exchange(question(1))
        assert line.ready_in_s(1) > 0.9
        assert await line.exchange(question(2)) == words(2, 2222)  # 1's frame comes while 2 thinks
        assert line.stats.late_replies == 1
        await line.exchange(question(2))

    in_virtual_time(main)
    assert port.frames_too_early == 0


def test_after_a_time_out_a_read_of_another_length_goes_first() -> None:
    def script(tx: bytes) -> list[tuple[float, bytes]]:
        n, count = len(port.written), modbus.parse_read(tx)[3]
        delay_s, word = [(1.3, 1111), (0.15, 3333), (0.01, 2222)][n - 1]
        return [(delay_s, words(1, *[word] * count))]

    line, port = line_on(script)

    async def main() -> bytes:
        await line.open()
        with pytest.raises(ReplyTimeout):
            await line.exchange(question())
        return await line.exchange(question())

    assert in_virtual_time(main) == words(1, 2222)
    assert [modbus.parse_read(tx)[3] for _, tx in port.written] == [1, 2, 1]
    assert port.written[1][0] - port.written[0][0] >= 1.2  # time-out and late_ms
    assert line.stats.late_replies == 1
    assert line.stats.resyncs == 1


def test_the_debt_of_one_question_is_settled_before_another_question_to_the_same_device() -> None:
    def script(tx: bytes) -> list[tuple[float, bytes]]:
        return [] if len(port.written) == 1 else [(0.01, echoing_count(tx))]

    line, port = line_on(script)
    other = question(address=100, count=3, resync=4)

    async def main() -> None:
        await line.open()
        with pytest.raises(ReplyTimeout):
            await line.exchange(question(count=1, resync=2))
        assert await line.exchange(other) == words(1, 5, 5, 5)

    in_virtual_time(main)
    assert [modbus.parse_read(tx)[2:] for _, tx in port.written] == [(0, 1), (0, 2), (100, 3)]


def test_a_refused_resync_read_is_proof_and_a_busy_one_is_not() -> None:
    codes = iter([6, 6, 2])

    def script(tx: bytes) -> list[tuple[float, bytes]]:
        if len(port.written) == 1:
            return []
        if modbus.parse_read(tx)[3] == 2:
            return [(0.01, modbus.exception_reply(1, 3, next(codes)))]
        return [(0.01, words(1, 5))]

    line, port = line_on(script)

    async def main() -> None:
        await line.open()
        with pytest.raises(ReplyTimeout):
            await line.exchange(question())
        for _ in range(2):
            with pytest.raises(DeviceException):
                await line.exchange(question())
            assert line.ready_in_s(1) > 0.9
        assert await line.exchange(question()) == words(1, 5)

    in_virtual_time(main)
    assert [modbus.parse_read(tx)[3] for _, tx in port.written] == [1, 2, 2, 2, 1]


def test_a_device_that_ignores_the_resync_read_is_asked_plainly_after_another_pause() -> None:
    def script(tx: bytes) -> list[tuple[float, bytes]]:
        is_plain = modbus.parse_read(tx)[3] == 1
        return [(0.01, words(1, 5))] if is_plain and len(port.written) > 1 else []

    line, port = line_on(script)

    async def main() -> None:
        await line.open()
        for _ in range(2):
            with pytest.raises(ReplyTimeout):
                await line.exchange(question())
        assert await line.exchange(question()) == words(1, 5)

    in_virtual_time(main)
    first, resync, plain = (at_s for at_s, _ in port.written)
    assert resync - first >= 1.2
    assert plain - resync >= 1.2


@pytest.mark.parametrize("cancel_after_s", [0.005, 0.1, 0.19 + 3.5 * CHAR_S + 30e-6 + 15 * CHAR_S])
def test_an_exchange_cancelled_after_its_request_counts_as_one_that_timed_out(cancel_after_s: float) -> None:
    line, port = line_on(lambda tx: [(0.19, echoing_count(tx))])

    async def main() -> None:
        await line.open()
        task = asyncio.create_task(line.exchange(question()))
        await asyncio.sleep(cancel_after_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert line.ready_in_s(1) >= 1.0  # late_ms, counted from when the time-out would have been
        assert await line.exchange(question()) == words(1, 5)

    in_virtual_time(main)
    assert line.stats.resyncs == 1
    assert port.frames_too_early == 0


def test_an_exchange_cancelled_before_its_request_leaves_no_debt() -> None:
    line, port = line_on(lambda tx: [(0.01, echoing_count(tx))])

    async def main() -> None:
        await line.open()
        task = asyncio.create_task(line.exchange(question()))
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert line.ready_in_s(1) == 0.0
        assert await line.exchange(question()) == words(1, 5)

    in_virtual_time(main)
    assert len(port.written) == 1


def test_a_lost_port_ends_the_exchange_and_debts_survive_the_reopening() -> None:
    line, port = line_on(lambda tx: [(0.01, echoing_count(tx))])

    async def main() -> None:
        await line.open()
        port.loop.call_later(0.006, lambda: port.lost(PortError("the adapter is gone")))
        with pytest.raises(PortError, match="adapter is gone"):
            await line.exchange(question())
        with pytest.raises(PortError):
            await line.exchange(question(2))
        line.close()
        line.close()
        await line.open()
        assert line.ready_in_s(1) > 0.9
        assert await line.exchange(question()) == words(1, 5)

    in_virtual_time(main)
    assert line.stats.resyncs == 1


def test_closing_ends_a_waiting_exchange() -> None:
    line, port = line_on(lambda tx: [])

    async def main() -> None:
        await line.open()
        port.loop.call_later(0.05, line.close)
        with pytest.raises(PortError, match="closed"):
            await line.exchange(question())

    in_virtual_time(main)


def test_only_one_question_at_a_time() -> None:
    line, _ = line_on(lambda tx: [(0.01, echoing_count(tx))])

    async def main() -> None:
        await line.open()
        first = asyncio.create_task(line.exchange(question()))
        await asyncio.sleep(0)
        with pytest.raises(AssertionError):
            await line.exchange(question())
        assert await first == words(1, 5)

    in_virtual_time(main)


@pytest.mark.parametrize(("name", "late_timeouts", "is_deaf"), CASES)
def test_no_value_of_a_late_reply_storm_is_wrong(name: str, late_timeouts: float, is_deaf: bool) -> None:
    result = storm(name, 10_000, 20_261, late_timeouts=late_timeouts, is_deaf_to_resync=is_deaf)
    assert (result.wrong, result.too_early) == (0, 0)
    assert result.values > 2_000  # it still measures
    assert result.stats.late_replies > 2_000  # and the storm was one


def test_the_storm_sees_wrong_values_when_nothing_guards_against_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = Line.exchange

    async def careless(self: Line, request: Request) -> bytes:
        self._units.clear()
        return await ask(self, request)

    monkeypatch.setattr(Line, "exchange", careless)
    assert storm("sen0676", 500, 1, late_timeouts=1.0).wrong > 50
