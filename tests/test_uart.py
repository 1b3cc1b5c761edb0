"""UART families against published vectors: reports, refusals, commands and streams cut anywhere."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers import registers, reports
from drivers.devices import hydreon, nova, plantower, sensirion
from drivers.profile import Profile, override, parse
from drivers.registers import Device
from drivers.uart import Cutter
from models.reading import Quality, QualityClass, Sample, quality_class
from models.site import Bus, Gateway, Place, Sensor, Site, Ward

VECTORS = Path(__file__).parent / "vectors"
DEVICES = Path(registers.__file__).parent / "devices"
CHANGED: dict[str, tuple[str, dict[str, Any]]] = {
    "aj-sr04m-nohdr": ("aj-sr04m", {"uart": {"family": "ultrasonic-no-header"}}),
    "hrxl": ("maxbotix-hrxl", {}),
    "hrxl-10m": ("maxbotix-hrxl", {"value": [{"kind": "distance_m", "range": [0.3, 9.999]}]}),
    "xl": ("maxbotix-xl", {}),
}
STATES = {
    "ok": 0,
    "blanking": Quality.BOUND_LOW,
    "out_of_range": Quality.RANGE,
    "max_range": Quality.NO_ECHO,
    "no_echo": Quality.SENTINEL,
    "interference": Quality.SENTINEL,
}


def cases(subject: str, *kinds: str) -> Any:
    rows = tomllib.loads((VECTORS / f"{subject}.toml").read_text())["case"]
    chosen = [pytest.param(row, id=row["name"]) for row in rows if row["kind"] in kinds]
    assert chosen
    return pytest.mark.parametrize("case", chosen)


def device(name: str) -> Device:
    base, change = CHANGED.get(name, (name, {}))
    profile, problems = parse(base, tomllib.loads((DEVICES / f"{base}.toml").read_text()))
    assert profile is not None, problems
    if change:
        profile, problems = override(profile, change, "sensor.s.profile")
        assert profile is not None, problems
    sensor = Sensor(id="s", device=base, place="p", bus="b", unit=1)
    site = Site(
        schema=1, ward=Ward(id="w", name="w"), gateway=Gateway(id="g", place="p"), place=(Place(id="p", name="p"),),
        bus=(Bus(id="b", port="virtual:b"),), sensor=(sensor,),
    )  # fmt: skip
    return registers.devices(site, {base: profile})[0]


def frames(profile: Profile, *chunks: bytes) -> list[bytes]:
    """The reports in a stream."""
    cutter = Cutter(reports.family(profile).cut)
    found = [frame for chunk in chunks for frame in cutter.feed(chunk)]
    return [frame for frame in found if reports.words_of(profile, frame) is not None]


def read(one: Device, frame: bytes) -> dict[str, Sample]:
    (request,) = registers.requests(one)
    return {sample.kind: sample for sample in registers.decode(one, request, frame)}


def chunks(case: dict[str, Any]) -> list[bytes]:
    return [bytes.fromhex(chunk) for chunk in case["chunks"]]


def refused(one: Device, data: bytes) -> bool:
    """No report at all, or one whose every value is bad."""
    found = frames(one.profile, data)
    flags = [sample.quality for frame in found for sample in read(one, frame).values()]
    return all(quality_class(flag) is QualityClass.BAD for flag in flags)


@cases("pms", "decode")
def test_plantower_reports(case: dict[str, Any]) -> None:
    one = device(case["device"])
    [frame] = frames(one.profile, bytes.fromhex(case["hex"]))
    samples, expect = read(one, frame), case["expect"]
    if max(expect["atm"]) > 1000:
        assert all(quality_class(s.quality) is QualityClass.BAD for s in samples.values())
        return
    assert [samples[k].value for k in ("pm1_ug_m3", "pm2_5_ug_m3", "pm10_ug_m3")] == expect["atm"]
    assert [samples[f"raw_{i}"].value for i in range(3)] == expect["cf1"]
    if "temp_c" in expect:
        assert (samples["temperature_c"].value, samples["humidity_pct"].value) == (
            expect["temp_c"],
            expect["rh"],
        )
    assert not any(s.quality for s in samples.values())


@cases("pms", "bad")
def test_plantower_refusals(case: dict[str, Any]) -> None:
    one = device(case["device"])
    if case["reason"] == "warming_up":  # a zero is told as warming up by the core as long as the profile says
        assert one.profile.link.warmup_s > case["since_wake_s"]
        return
    assert refused(one, bytes.fromhex(case["hex"]))


@cases("pms", "stream")
def test_plantower_streams(case: dict[str, Any]) -> None:
    found = frames(device(case["device"]).profile, *chunks(case))
    assert [frame.hex(" ") for frame in found] == case["expect_frames"]


@cases("sds011", "decode")
def test_nova_reports(case: dict[str, Any]) -> None:
    one = device("sds011")
    [frame] = frames(one.profile, bytes.fromhex(case["hex"]))
    samples = read(one, frame)
    assert (samples["pm2_5_ug_m3"].value, samples["pm10_ug_m3"].value) == (
        case["expect"]["pm25"],
        case["expect"]["pm10"],
    )


@cases("sds011", "bad", "reply", "firmware")
def test_nova_refusals(case: dict[str, Any]) -> None:
    assert refused(device("sds011"), bytes.fromhex(case["hex"]))


@cases("sds011", "stream")
def test_nova_streams(case: dict[str, Any]) -> None:
    found = frames(device("sds011").profile, *chunks(case))
    assert [frame.hex(" ") for frame in found] == case["expect_frames"]


@cases("sps30", "decode", "decode_exact")
def test_sensirion_reports(case: dict[str, Any]) -> None:
    one = device("sps30")
    [frame] = frames(one.profile, bytes.fromhex(case["hex"]))
    samples = read(one, frame)
    exact = case["kind"] == "decode_exact"
    expect = case["expect"] if exact else case["expect"]["pm"]
    tol = case["tol"] if exact else case["tol"][0]
    for kind, i in (("pm1_ug_m3", 0), ("pm2_5_ug_m3", 1), ("pm10_ug_m3", 3)):
        assert samples[kind].value == pytest.approx(expect[i], abs=tol)


@cases("sps30", "decode_len")
def test_sensirion_stuffs_every_byte(case: dict[str, Any]) -> None:
    data, payload = bytes.fromhex(case["hex"]), bytes.fromhex(case["payload"])
    assert len(data) == case["wire_length"]
    words = sensirion.FAMILY.words_of(data)
    assert words is not None
    assert b"".join(word.to_bytes(2, "big") for word in words) == payload
    assert sensirion.FAMILY.frame_of(words) == data


@cases("sps30", "bad", "state")
def test_sensirion_refusals(case: dict[str, Any]) -> None:
    assert frames(device("sps30").profile, bytes.fromhex(case["hex"])) == []


@cases("sps30", "stream")
def test_sensirion_streams(case: dict[str, Any]) -> None:
    found = frames(device("sps30").profile, *chunks(case))
    assert [frame.hex(" ") for frame in found] == case["expect_frames"]


@cases("ultrasonic", "decode")
def test_ultrasonic_reports(case: dict[str, Any]) -> None:
    one = device(case["device"])
    [frame] = frames(one.profile, bytes.fromhex(case["hex"]))
    sample, state = read(one, frame)["distance_m"], case["expect"]["state"]
    assert sample.quality == STATES[state]
    if state == "ok":
        assert sample.value == case["expect"]["mm"] / 1000


@cases("ultrasonic", "bad")
def test_ultrasonic_refusals(case: dict[str, Any]) -> None:
    assert frames(device(case["device"]).profile, bytes.fromhex(case["hex"])) == []


@cases("ultrasonic", "stream")
def test_ultrasonic_streams(case: dict[str, Any]) -> None:
    one = device(case["device"])
    found = frames(one.profile, *chunks(case))
    assert [round(read(one, frame)["distance_m"].value * 1000) for frame in found] == case["expect_mm"]


@cases("maxbotix", "line")
def test_maxbotix_lines(case: dict[str, Any]) -> None:
    one = device(case["device"])
    [frame] = frames(one.profile, bytes.fromhex(case["hex"]))
    sample, state = read(one, frame)["distance_m"], case["expect"]["state"]
    assert sample.quality == STATES[state]
    if state == "ok":
        assert sample.value == case["expect"]["mm"] / 1000


@cases("maxbotix", "bad")
def test_maxbotix_refusals(case: dict[str, Any]) -> None:
    one, data = device(case["device"]), bytes.fromhex(case["hex"])
    if case["reason"] == "range":  # at or nearer than its blind zone: a bound, not a fault
        assert read(one, frames(one.profile, data)[0])["distance_m"].quality == Quality.BOUND_LOW
        return
    assert frames(one.profile, data) == []


@cases("maxbotix", "stream")
def test_maxbotix_streams(case: dict[str, Any]) -> None:
    one = device(case["device"])
    found = frames(one.profile, *chunks(case))
    assert [round(read(one, frame)["distance_m"].value * 1000) for frame in found] == case["expect_mm"]


@cases("rg15", "line")
def test_hydreon_lines(case: dict[str, Any]) -> None:
    one = device("rg-15")
    found = frames(one.profile, case["text"].encode() + b"\r\n")
    if "total_mm" not in case["expect"]:
        assert found == []  # the answer to a command that we never send
        return
    samples = read(one, found[0])
    assert samples["rain_mm"].value == pytest.approx(case["expect"]["total_mm"], abs=1e-9)
    assert samples["rain_rate_mm_h"].value == pytest.approx(case["expect"]["rint_mmph"], abs=1e-9)


@cases("rg15", "bad")
def test_hydreon_refusals(case: dict[str, Any]) -> None:
    cutter = Cutter(hydreon.FAMILY.cut)
    assert list(cutter.feed(case["text"].encode() + b"\r\n")) == []
    assert cutter.garbage == len(case["text"]) + 2


@cases("rg15", "status")
def test_hydreon_status_lines_are_no_garbage_and_no_rain(case: dict[str, Any]) -> None:
    one, cutter = device("rg-15"), Cutter(hydreon.FAMILY.cut)
    [line] = cutter.feed(case["text"].encode() + b"\r\n")
    assert cutter.garbage == 0
    if reports.words_of(one.profile, line) is None:
        return
    assert case["expect"] == "lens_bad"
    assert all(quality_class(s.quality) is QualityClass.BAD for s in read(one, line).values())


def test_the_commands_that_we_send_are_the_published_ones() -> None:
    known = {
        (subject, bytes.fromhex(row.get("expect_hex") or row["hex"]))
        for subject in ("pms", "sds011", "sps30")
        for row in tomllib.loads((VECTORS / f"{subject}.toml").read_text())["case"]
        if row["kind"] == "command"
    }
    families = (("pms", plantower.FAMILY), ("sds011", nova.FAMILY), ("sps30", sensirion.FAMILY))
    sent = {(name, command.lstrip(b"\xff")) for name, family in families for command in family.begin}
    sent.add(("sps30", sensirion.FAMILY.ask))
    assert sent <= known
    lines = [row["text"].encode() for row in tomllib.loads((VECTORS / "rg15.toml").read_text())["case"]
             if row["kind"] == "command"]  # fmt: skip
    assert {*hydreon.FAMILY.begin, hydreon.FAMILY.ask} <= set(lines)
