"""Modbus RTU frames: published vectors, then hostile bytes."""

import struct
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import modbus

VECTORS = Path(__file__).parent / "vectors"


def cases(*kinds: str, file: str = "modbus_frames") -> list[Any]:
    rows = tomllib.loads((VECTORS / f"{file}.toml").read_text())["case"]
    chosen = [row for row in rows if row["kind"] in kinds]
    assert chosen, kinds
    return [pytest.param(row, id=row["name"]) for row in chosen]


def words(frame: bytes) -> tuple[int, ...]:
    data = modbus.reply_data(frame)
    return struct.unpack(f">{len(data) // 2}H", data)


@pytest.mark.parametrize("case", cases("crc"))
def test_the_crc_has_the_published_check_value(case: dict[str, Any]) -> None:
    assert f"{modbus.crc(case['ascii'].encode()):04x}" == case["expect"]


@pytest.mark.parametrize(
    "case",
    [
        *cases("request"),
        *cases("request_only", file="xy_md02"),
        *cases("request_only", file="level_rain_modbus"),
    ],
)
def test_a_read_request_is_built_and_taken_apart_bit_for_bit(case: dict[str, Any]) -> None:
    frame, e = bytes.fromhex(case["hex"]), case["expect"]
    assert modbus.read_request(e["unit"], e["fc"], e["addr"], e["count"]) == frame
    assert modbus.parse_read(frame) == (e["unit"], e["fc"], e["addr"], e["count"])


@pytest.mark.parametrize("case", cases("reply_regs"))
def test_a_reply_is_accepted_with_its_words(case: dict[str, Any]) -> None:
    frame, e = bytes.fromhex(case["hex"]), case["expect"]
    request = modbus.read_request(e["unit"], e["fc"], 0, len(e["regs"]))
    assert modbus.check(request, frame) is None
    assert modbus.expected_length(request) == len(frame)
    assert list(words(frame)) == e["regs"]
    assert modbus.data_reply(e["unit"], e["fc"], modbus.reply_data(frame)) == frame


@pytest.mark.parametrize("case", cases("exception"))
def test_an_exception_gives_its_code(case: dict[str, Any]) -> None:
    frame, e = bytes.fromhex(case["hex"]), case["expect"]
    assert modbus.exception_code(frame) == e["code"]
    assert modbus.exception_reply(e["unit"], e["fc"], e["code"]) == frame
    request = modbus.with_crc(bytes((e["unit"], e["fc"], 0, 0, 0, 1)))
    assert modbus.check(request, frame) is None


@pytest.mark.parametrize("case", [*cases("bad"), *cases("bad", file="xy_md02")])
def test_a_damaged_frame_is_refused_with_the_reason(case: dict[str, Any]) -> None:
    assert modbus.check_frame(bytes.fromhex(case["hex"])) == case["reason"]


@pytest.mark.parametrize("case", cases("mismatch"))
def test_a_sound_frame_that_does_not_answer_is_refused_with_the_reason(case: dict[str, Any]) -> None:
    request, reply = bytes.fromhex(case["request"]), bytes.fromhex(case["reply"])
    assert modbus.check(request, reply) == case["reason"]
    assert modbus.find_reply(request, reply) is None


@pytest.mark.parametrize("case", cases("stream"))
def test_the_reply_is_found_in_a_stream_however_it_is_split(case: dict[str, Any]) -> None:
    request, stream = bytes.fromhex(case["request"]), bytes.fromhex(case["rx"])
    wanted = bytes.fromhex(case["expect_reply"])
    assert (modbus.find_reply(request, stream) or b"") == wanted
    found = b""
    for n in range(1, len(stream) + 1):  # byte by byte, never looking twice
        found = found or modbus.find_reply(request, stream[:n], n - 1) or b""
    assert found == wanted


@pytest.mark.parametrize("case", cases("chunks"))
def test_a_reply_is_found_only_when_its_last_chunk_is_there(case: dict[str, Any]) -> None:
    request = bytes.fromhex(case["request"])
    received, found = b"", []
    for chunk in case["chunks"]:
        searched = len(received)
        received += bytes.fromhex(chunk)
        found.append(modbus.find_reply(request, received, searched))
    assert found == [None] * (len(found) - 1) + [bytes.fromhex(case["expect_reply"])]


@pytest.mark.parametrize("case", cases("timing"))
def test_the_silence_follows_the_specification(case: dict[str, Any]) -> None:
    framing = {10: "8N1", 11: "8E1"}[case["char_bits"]]
    assert modbus.silence_s(case["baud"], framing) * 1e6 == pytest.approx(
        case["expect_us"]["t35"], abs=case["tol"]
    )


def test_an_echo_alone_is_no_complaint_but_a_damaged_reply_is() -> None:
    request = bytes.fromhex("01 03 00 00 00 01 84 0a")
    assert modbus.complaint(request, b"") is None
    assert modbus.complaint(request, request) is None
    assert modbus.complaint(request, request + bytes.fromhex("01 03 02 05 dd ba 8d")) == "crc"


def test_the_echo_of_a_bit_read_is_not_taken_for_its_reply() -> None:
    # 24 coils at 0x0300: the echo has the length, the byte count and the CRC of a reply
    request = modbus.read_request(1, modbus.READ_COILS, 0x0300, 24)
    assert modbus.check(request, request) is None
    reply = modbus.data_reply(1, modbus.READ_COILS, b"\x01\x02\x03")
    assert modbus.find_reply(request, request) is None
    assert modbus.find_reply(request, request + reply) == reply


def test_frames_are_found_between_noise() -> None:
    a, b = bytes.fromhex("02 03 02 00 07 bd 86"), bytes.fromhex("01 83 06 c1 32")
    assert list(modbus.frames(b"\x00\x01" + a + b"\xff" + b + b"\x01\x03")) == [a, b]


reads = st.builds(
    modbus.read_request, st.integers(1, 255), st.sampled_from(sorted(modbus.READS)), st.integers(0, 0xFFFF),
    st.integers(1, 125),
)  # fmt: skip


@given(reads, st.binary(max_size=300))
def test_no_bytes_are_ever_taken_for_a_reply_that_does_not_check(request: bytes, noise: bytes) -> None:
    found = modbus.find_reply(request, noise)
    assert found is None or (modbus.check(request, found) is None and found in noise)
    assert sum(map(len, modbus.frames(noise))) <= len(noise)
    modbus.complaint(request, noise)


@given(reads, st.binary(max_size=250), st.binary(max_size=40), st.binary(max_size=40), st.data())
def test_a_reply_is_found_behind_any_noise_and_in_any_split(
    request: bytes, filler: bytes, before: bytes, after: bytes, data: st.DataObject
) -> None:
    n = modbus.expected_length(request) - 5
    reply = modbus.data_reply(request[0], request[1], (filler * n + bytes(n))[:n])
    stream = before + reply + after
    split = data.draw(st.integers(0, len(stream)))
    found = modbus.find_reply(request, stream[:split]) or modbus.find_reply(request, stream, split)
    # noise may hold a shorter or earlier sound frame of ours only by a collision of 16 bits
    assert found is not None
    assert modbus.check(request, found) is None


@given(reads, st.integers(0, 2047))
def test_every_single_flipped_bit_is_noticed(request: bytes, bit: int) -> None:
    reply = bytearray(modbus.data_reply(request[0], request[1], bytes(modbus.expected_length(request) - 5)))
    i = bit % (8 * len(reply))
    reply[i // 8] ^= 1 << i % 8
    assert modbus.check(request, bytes(reply)) is not None
