"""The line of one UART sensor in virtual time, and all families through real ptys and the real agent."""

import asyncio
import random
from pathlib import Path

import pytest

from drivers import registers, reports
from drivers.line import BadReply, DeviceException, ReplyTimeout
from drivers.port import READ_BYTES_MAX
from drivers.registers import Device
from drivers.stage import Stage
from drivers.stream import StreamLine
from drivers.virtual import MemoryPort
from drivers.virtual_uart import VirtualSensor
from drivers.world import World
from models.site import Bus
from tests.rig import Rig, wait
from tests.test_uart import device
from tests.wire import WirePort, in_virtual_time

PMS = bytes.fromhex(
    "42 4d 00 1c 00 00 00 08 00 08 00 00 00 08 00 08 00 d2 00 46 00 2d 00 1e 00 00 00 00 97 00 02 c5"
)
PMS_7 = bytes.fromhex(
    "42 4d 00 1c 00 00 00 07 00 07 00 00 00 07 00 07 00 d2 00 46 00 2d 00 1e 00 00 00 00 97 00 02 c1"
)
SHORT = bytes.fromhex("42 4d 00 14 00 01 00 01 00 01 00 01 00 01 00 01 00 00 00 00 00 51 00 fa")


def line(port: WirePort | MemoryPort, one: Device) -> StreamLine:
    return StreamLine(port, one.profile, one.profile.link.baud, one.profile.link.framing)


def pm2_5(one: Device, frame: bytes) -> float:
    (request,) = registers.requests(one)
    return next(s.value for s in registers.decode(one, request, frame) if s.kind == "pm2_5_ug_m3")


def test_each_report_counts_once_and_a_silence_is_told_and_ended_by_the_commands() -> None:
    async def body() -> None:
        one, port = device("pms5003"), WirePort(lambda frame: [])
        stream = line(port, one)
        (request,) = registers.requests(one)
        await stream.open()
        port.say(0.5, PMS)
        port.say(1.5, PMS_7)
        assert [pm2_5(one, await stream.exchange(request)) for _ in range(2)] == [8, 7]
        begun = [data for _, data in port.written]
        assert begun == list(reports.family(one.profile).begin)
        with pytest.raises(ReplyTimeout):
            await stream.exchange(request)
        port.say(0.5, PMS)
        assert await stream.exchange(request) == PMS
        assert [data for _, data in port.written] == begun * 2
        assert (stream.stats.replies, stream.stats.timeouts) == (3, 1)

    in_virtual_time(body)


def test_of_what_a_stall_left_only_the_newest_counts_and_nothing_of_a_full_buffer() -> None:
    async def body() -> None:
        one, port = device("pms5003"), WirePort(lambda frame: [])
        stream = line(port, one)
        (request,) = registers.requests(one)
        await stream.open()
        port.loop.call_later(1.0, lambda: port.received(PMS * 5 + PMS_7 + PMS[:9]))
        assert await stream.exchange(request) == PMS_7
        full = (PMS * 200)[:READ_BYTES_MAX]
        port.loop.call_later(0.5, lambda: port.received(full))
        port.loop.call_later(1.0, lambda: port.received(PMS_7))
        assert await stream.exchange(request) == PMS_7

    in_virtual_time(body)


def test_noise_and_the_frames_of_another_model_are_told_apart_from_silence() -> None:
    async def body() -> None:
        one, port = device("pms5003"), WirePort(lambda frame: [])
        stream = line(port, one)
        (request,) = registers.requests(one)
        await stream.open()
        port.say(1.0, bytes(40))
        with pytest.raises(BadReply, match="bytes came, but no whole frame"):
            await stream.exchange(request)
        port.say(1.0, SHORT)
        with pytest.raises(BadReply, match="another model"):
            await stream.exchange(request)

    in_virtual_time(body)


def test_a_sensor_that_is_asked_answers_its_own_question_and_no_new_data_is_no_failure() -> None:
    empty = bytes.fromhex("7e 00 03 00 00 fc 7e")
    answers = [bytes.fromhex("7e 00 00 00 00 ff 7e"), empty, bytes.fromhex("7e 00 00 43 00 bc 7e")]

    async def body() -> None:
        one = device("sps30")
        report = reports.report(one.profile, one.channels, lambda sensor, kind: 12.5)
        left = [*answers, report]
        port = WirePort(lambda frame: [(0.01, left.pop(0))], baud=115200)
        stream = line(port, one)
        (request,) = registers.requests(one)
        await stream.open()
        with pytest.raises(DeviceException):
            await stream.exchange(request)
        assert pm2_5(one, await stream.exchange(request)) == 12.5  # started anew in between
        asked = [data for _, data in port.written]
        start, ask = reports.family(one.profile).begin[0], request.tx
        assert asked == [start, ask, start, ask]

    in_virtual_time(body)


@pytest.mark.parametrize("fault", ["crc", "flip", "garbage", "split", "merge", "late", "silent"])
@pytest.mark.parametrize("name", ["pms5003", "sds011", "sps30", "a02yyuw", "jsn-sr04t"])
def test_no_fault_of_the_line_makes_a_value_that_the_sensor_did_not_send(name: str, fault: str) -> None:
    async def body() -> None:
        one = device(name)
        bus = Bus(id="b", port="virtual:b", baud=one.profile.link.baud)
        kinds = [point.kind for point in one.channels]
        stage = Stage(World({}, ()), asyncio.get_running_loop().time)
        sensor = VirtualSensor(bus, one, stage, random.Random(1))
        stage.begin()
        for kind in kinds:
            stage.set("s", kind, 1.0)
        stage.fail("b", fault, 60.0)
        stream = line(MemoryPort(sensor), one)
        (request,) = registers.requests(one)
        await stream.open()
        seen = set()
        while stage.t_s() < 50.0:
            try:
                frame = await stream.exchange(request)
            except (BadReply, ReplyTimeout, DeviceException):
                continue
            seen |= {sample.value for sample in registers.decode(one, request, frame)}
        stream.close()
        assert seen <= {1.0}
        if fault != "late":  # late answers may come in time for the next question
            assert bool(seen) == (fault in ("split", "merge", "garbage"))

    in_virtual_time(body)


SITE = """
schema = 1
ward = { id = "w", name = "Phường" }
gateway = { id = "g", place = "p" }
place = [{ id = "p", name = "Ngõ 12" }]
sensor = [SENSORS]
bus = [BUSES]
"""


@pytest.mark.parts
def test_every_uart_device_is_read_by_the_agent_through_a_pty_of_its_own(tmp_path: Path) -> None:
    names = ["a02yyuw", "jsn-sr04t", "maxbotix-hrxl", "pms5003t", "rg-15", "sds011", "sps30"]
    sensors = [f'{{ id = "s-{n}", device = "{n}", place = "p", bus = "b-{n}", period_s = 1 }}' for n in names]
    buses = []
    for n in names:
        link = device(n).profile.link
        buses.append(
            f'{{ id = "b-{n}", port = "virtual:{n}", baud = {link.baud}, framing = "{link.framing}" }}'
        )
    site = SITE.replace("SENSORS", ", ".join(sensors)).replace("BUSES", ", ".join(buses))
    truth = {
        "distance_m": 1.234, "pm2_5_ug_m3": 35.0, "pm1_ug_m3": 12.0, "pm10_ug_m3": 41.0, "temperature_c": 31.5,
        "humidity_pct": 78.5, "rain_mm": 54.85, "rain_rate_mm_h": 2.5, "raw_0": 1.0, "raw_1": 2.0, "raw_2": 3.0,
    }  # fmt: skip
    with Rig(tmp_path, site) as rig:
        rig.start_virtual()
        for n in names:
            for point in device(n).channels:
                rig.set(f"s-{n}", point.kind, truth[point.kind])
        rig.start_agent()

        def values() -> dict[str, float]:
            return {c["channel"]: c["value"] for c in rig.view()["channels"] if c["value"] is not None}

        want = {f"s-{n}/{point.kind}": truth[point.kind] for n in names for point in device(n).channels}
        wait(lambda: values() == pytest.approx(want), 40.0)
        rig.fail("b-sds011", "unplug", 60.0)
        wait(lambda: not next(b for b in rig.view()["buses"] if b["id"] == "b-sds011")["up"], 20.0)
