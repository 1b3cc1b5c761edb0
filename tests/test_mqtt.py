"""MQTT against real mosquitto, judged by a subscriber of the tests' own (mosquitto_sub): who got what, how often."""

import asyncio
import base64
import contextlib
import gzip
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import aiomqtt
import pytest
from aiomqtt import ProtocolVersion
from joserfc import jws
from joserfc.jwk import OKPKey

from gateway.command import Key, Rejected, read
from gateway.forward import Tag
from gateway.mqtt import Mqtt
from gateway.mqtt_client import Access
from gateway.outcome import Fault, Outcome, Verdict
from tests.servers import eventually, free_port, mosquitto, need

pytestmark = pytest.mark.parts

ROOT = "wardwatch/v1/xuan-dinh/xd-gw-07"
LINES = [f"reading,sensor=s depth_m={i}.0 {i}" for i in range(6)]
AUTHOR = OKPKey.generate_key("Ed25519")
KEYS = {"ward-desk": Key(base64.urlsafe_b64decode(AUTHOR.as_dict()["x"] + "="), frozenset({"ack", "drill"}))}


class Watcher:
    """What a subscriber got: (topic, payload, retained, user properties)."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes, bool, dict[str, str]]] = []

    def of(self, topic: str) -> list[bytes]:
        return [payload for name, payload, *_ in self.got if name == f"{ROOT}/{topic}"]

    def states(self) -> list[str]:
        return [json.loads(payload)["state"] for payload in self.of("status")]

    def history(self) -> list[tuple[int, bytes]]:
        return [(int(p["seq"]), payload) for name, payload, _, p in self.got if name == f"{ROOT}/history"]


@contextlib.asynccontextmanager
async def watching(port: int, watcher: Watcher, user: str = "") -> AsyncIterator[aiomqtt.Client]:
    """Subscribed to everything."""

    async def collect(one: aiomqtt.Client) -> None:
        async for m in one.messages:
            words = dict(getattr(m.properties, "UserProperty", None) or [])
            assert isinstance(m.payload, bytes)
            watcher.got.append((str(m.topic), m.payload, m.retain, words))

    async with aiomqtt.Client(
        "127.0.0.1", port, protocol=ProtocolVersion.V5, username=user or None, password="x" if user else None
    ) as one:
        await one.subscribe("#", qos=1)
        task = asyncio.create_task(collect(one))
        try:
            yield one
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, aiomqtt.MqttError):
                await task


def sink(
    *ports: int,
    wall: Callable[[], tuple[int, bool]] = lambda: (time.time_ns(), True),
    act: Callable[[bytes], dict[str, Any]] | None = None,
    scheme: str = "mqtt",
    host: str = "127.0.0.1",
    resolve: Any = None,
    **access: Any,
) -> Mqtt:
    async def plain(name: str) -> list[str]:
        return [name]

    compress = access.pop("compress", False)
    return Mqtt(
        "ward-mqtt",
        [f"{scheme}://{host}:{port}" for port in ports],
        "xuan-dinh/xd-gw-07",
        Access(access.pop("client_id", "xd-gw-07"), **access),
        resolve=resolve or plain,
        status=lambda state: json.dumps({"v": 1, "state": state}).encode(),
        act=act or (lambda body: {"v": 1, "id": None, "ok": True, "why": ""}),
        wall=wall,
        random=Random(1),
        compress=compress,
    )


@contextlib.asynccontextmanager
async def live(one: Mqtt) -> AsyncIterator[Mqtt]:
    """The sink's task, until the body ends."""
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def up(one: Mqtt) -> None:
    await eventually(lambda: one.stats.fault is None)


def test_birth_live_history_retained_and_will(tmp_path: Path) -> None:
    watcher = Watcher()

    async def run() -> None:
        with mosquitto(tmp_path) as broker:
            async with watching(broker.port, watcher):
                one = sink(broker.port)
                one.retain("sensor/s-1", b'{"v":1}')
                async with live(one):
                    await up(one)
                    one.publish_live(b'{"v":1,"r":[]}')
                    assert await one.send(LINES, Tag("b41c", 7, 6)) == Outcome(Verdict.ACCEPTED)
                    await eventually(lambda: watcher.of("history") and watcher.of("sensor/s-1"))
                    await one.leave()
                    await eventually(lambda: len(watcher.of("status")) >= 2)

    asyncio.run(run())
    assert watcher.states() == ["online", "offline"]
    assert watcher.of("live") == [b'{"v":1,"r":[]}']
    [(_, payload, is_retained, words)] = [one for one in watcher.got if one[0].endswith("/history")]
    assert payload.decode().splitlines() == LINES
    assert not is_retained
    assert words == {"boot": "b41c", "seq": "7", "points": "6", "codec": "identity"}


def test_history_is_compressed_and_split_to_the_brokers_limit(tmp_path: Path) -> None:
    watcher = Watcher()

    async def run() -> None:
        with mosquitto(tmp_path, "max_packet_size 1000") as broker:
            async with watching(broker.port, watcher):
                one = sink(broker.port, compress=True)
                async with live(one):
                    await up(one)
                    lines = [f"{line} {'x' * 150}" for line in LINES]
                    assert await one.send(lines, Tag("b41c", 7, 6)) == Outcome(Verdict.ACCEPTED)
                    await eventually(lambda: len(watcher.of("history")) >= 2)
                    text = b"\n".join(gzip.decompress(p) for p in watcher.of("history")).decode()
                    assert text.splitlines() == lines

    asyncio.run(run())
    parts = [words.get("part") for name, *_, words in watcher.got if name.endswith("/history")]
    assert parts == [f"{n}/{len(parts)}" for n in range(1, len(parts) + 1)]


def test_a_broker_that_dies_and_comes_back_gets_everything_anew_and_history_goes_on(tmp_path: Path) -> None:
    watcher = Watcher()

    async def run() -> None:
        with mosquitto(tmp_path) as broker:
            one = sink(broker.port)
            one.retain("sensor/s-1", b"first")
            async with live(one):
                await up(one)
                broker.kill()
                await eventually(lambda: one.stats.fault is Fault.AWAY)
                one.publish_live(b"nobody")
                waiting = asyncio.create_task(one.send(LINES, Tag("b41c", 8, 6)))
                one.retain("sensor/s-1", b"second")
                broker.start()
                async with watching(broker.port, watcher):
                    outcome = await asyncio.wait_for(waiting, 20)
                    if outcome.verdict is not Verdict.ACCEPTED:
                        outcome = await one.send(LINES, Tag("b41c", 8, 6))
                    assert outcome.verdict is Verdict.ACCEPTED
                    await eventually(lambda: watcher.history() and watcher.of("sensor/s-1"))

    asyncio.run(run())
    assert watcher.of("sensor/s-1") == [b"second"]
    assert {seq for seq, _ in watcher.history()} == {8}
    assert watcher.states()[-1] == "online"
    assert watcher.of("live") == []


def test_a_frozen_broker_is_left_and_history_arrives_once_it_thaws(tmp_path: Path) -> None:
    watcher = Watcher()

    async def run() -> None:
        with mosquitto(tmp_path) as broker:
            one = sink(broker.port)
            async with live(one), watching(broker.port, watcher):
                await up(one)
                broker.freeze()
                for _ in range(200):
                    one.publish_live(b"x" * 100_000)  # what a black hole takes is bounded, and counted
                assert one.stats.live_dropped > 50
                outcome = asyncio.create_task(one.send(LINES, Tag("b41c", 9, 6)))
                await eventually(lambda: one.stats.fault is Fault.AWAY, 30)
                broker.thaw()
                assert (await asyncio.wait_for(outcome, 10)).verdict is Verdict.RETRY
                await up(one)
                assert (await one.send(LINES, Tag("b41c", 9, 6))).verdict is Verdict.ACCEPTED
                await eventually(watcher.history)

    asyncio.run(run())
    assert {payload for _, payload in watcher.history()} == {"\n".join(LINES).encode()}


def test_a_second_client_with_our_id_is_told_as_what_it_is(tmp_path: Path) -> None:
    async def run() -> None:
        with mosquitto(tmp_path) as broker:
            one = sink(broker.port)
            async with live(one):
                await up(one)
                for _ in range(4):  # two that fight: each comes again when it was thrown out
                    other = aiomqtt.Client(
                        "127.0.0.1", broker.port, protocol=ProtocolVersion.V5, identifier="xd-gw-07"
                    )
                    n = one.stats.connections
                    with contextlib.suppress(aiomqtt.MqttError):
                        async with other:
                            await eventually(lambda n=n: one.stats.connections > n)
                    if one.stats.fault is Fault.TAKEN_OVER:
                        break
                assert one.stats.reason == "another client took over our client id"
                assert (await one.send(LINES, Tag("b", 1, 6))).verdict is Verdict.ACCEPTED

    asyncio.run(run())


def test_who_reads_his_own_offline_says_online_again(tmp_path: Path) -> None:
    watcher = Watcher()

    async def run() -> None:
        with mosquitto(tmp_path) as broker:
            one = sink(broker.port)
            async with live(one), watching(broker.port, watcher) as other:
                await up(one)
                await other.publish(f"{ROOT}/status", b'{"v":1,"state":"offline"}', qos=1, retain=True)
                await eventually(
                    lambda: (
                        [json.loads(p)["state"] for p in watcher.of("status")][-2:] == ["offline", "online"]
                    )
                )

    asyncio.run(run())


def test_a_broker_that_forbids_history_refuses_visibly_and_a_wrong_password_too(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text(f"topic readwrite {ROOT}/status\ntopic read {ROOT}/command\n")
    (tmp_path / "acl").chmod(0o600)
    passwords = [need("mosquitto_passwd"), "-b", "-c", str(tmp_path / "pw"), "gw", "right"]
    subprocess.run(passwords, check=True, capture_output=True)

    async def run() -> None:
        with mosquitto(tmp_path, f"acl_file {tmp_path / 'acl'}") as broker:
            one = sink(broker.port)
            async with live(one):
                await up(one)
                outcome = await one.send(LINES, Tag("b", 1, 6))
                assert (outcome.verdict, outcome.fault) == (Verdict.RETRY, Fault.REFUSING)
                assert outcome.reason == "the broker refuses history: reason code 135"
        with mosquitto(tmp_path, "allow_anonymous false", f"password_file {tmp_path / 'pw'}") as broker:
            one = sink(broker.port, user="gw", password="PLANTED")
            async with live(one):
                await eventually(lambda: one.stats.fault is Fault.REFUSING)
                assert "PLANTED" not in one.stats.reason

    asyncio.run(run())


def certificates(folder: Path, ago: str = "-0 days") -> Path:
    """ca.pem, and server.pem with its key for the name broker.ward, valid for 2 days since `ago`."""

    def openssl(*words: str) -> None:
        argv = [need("faketime"), ago, need("openssl"), *words]
        subprocess.run(argv, check=True, capture_output=True, cwd=folder)

    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *ec, "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *ec, "-subj", "/CN=broker.ward", "-keyout", "server.key", "-out", "server.csr")
    (folder / "ext").write_text("subjectAltName=DNS:broker.ward\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "ext", "-out", "server.pem")  # fmt: skip
    return folder / "ca.pem"


NOBODY = ": nobody we trust signed the server's certificate"
OTHER = ": the server's certificate names somebody else"
EXPIRED = ": the server's certificate has expired"


def test_tls_verifies_the_name_though_it_connects_to_an_address(tmp_path: Path) -> None:
    ca = str(certificates(tmp_path))
    listener = f"certfile {tmp_path / 'server.pem'}\nkeyfile {tmp_path / 'server.key'}"

    async def here(name: str) -> list[str]:
        return ["127.0.0.1"]

    async def run() -> None:
        with mosquitto(tmp_path, listener=listener) as broker:
            good = sink(broker.port, scheme="mqtts", host="broker.ward", resolve=here, ca=ca)
            async with live(good):
                await up(good)
            for host, its_ca, synced, words in (
                ("other.ward", ca, True, f"TLS failed{OTHER}"),
                ("broker.ward", None, True, f"TLS failed{NOBODY}"),
                ("broker.ward", None, False, f"TLS failed{NOBODY} while our clock is not set"),
            ):
                wall = lambda synced=synced: (time.time_ns(), synced)  # noqa: E731  # a table row's clock
                bad = sink(broker.port, scheme="mqtts", host=host, resolve=here, ca=its_ca, wall=wall)
                async with live(bad):
                    await eventually(lambda bad=bad, words=words: bad.stats.reason == words)

    asyncio.run(run())


def test_an_expired_certificate_is_named_and_nothing_is_sent(tmp_path: Path) -> None:
    ca = str(certificates(tmp_path, ago="-3 days"))
    listener = f"certfile {tmp_path / 'server.pem'}\nkeyfile {tmp_path / 'server.key'}"

    async def here(name: str) -> list[str]:
        return ["127.0.0.1"]

    async def run() -> None:
        with mosquitto(tmp_path, listener=listener) as broker:
            for synced, words in ((True, EXPIRED), (False, f"{EXPIRED} while our clock is not set")):
                wall = lambda synced=synced: (time.time_ns(), synced)  # noqa: E731  # a table row's clock
                one = sink(broker.port, scheme="mqtts", host="broker.ward", resolve=here, ca=ca, wall=wall)
                async with live(one):
                    await eventually(lambda one=one, words=words: one.stats.reason == f"TLS failed{words}")
                    assert one.stats.connections == 0

    asyncio.run(run())


def test_a_name_that_does_not_resolve_and_a_dead_address_do_not_hide_the_next(tmp_path: Path) -> None:
    async def no(name: str) -> list[str]:
        if name == "gone.ward":
            raise socket.gaierror(-2, "Name or service not known")
        return ["127.0.0.1"]

    async def run() -> None:
        with mosquitto(tmp_path) as broker:
            one = Mqtt(
                "m", [f"mqtt://gone.ward:{broker.port}", f"mqtt://dead:{free_port()}", f"mqtt://ok:{broker.port}"],
                "w/g", Access("g"), resolve=no, status=lambda s: b"{}", act=lambda b: {}, wall=lambda: (0, True),
                random=Random(1),
            )  # fmt: skip
            async with live(one):
                await eventually(lambda: one.stats.reason == "the name does not resolve")
                await up(one)

    asyncio.run(run())


def signed(key: OKPKey = AUTHOR, author: str = "ward-desk", alg: str = "EdDSA", **body: Any) -> bytes:
    whole = {"id": "01JX", "by": "an", "do": "ack", "exp": time.time() + 60} | body
    return jws.serialize_compact(
        {"alg": alg, "kid": author}, json.dumps(whole), key, algorithms=[alg]
    ).encode()


def test_a_signed_command_acts_and_is_answered_and_a_retained_one_is_refused(tmp_path: Path) -> None:
    watcher, done = Watcher(), []

    def act(payload: bytes) -> dict[str, Any]:
        order = read(payload, KEYS, lambda: (time.time_ns(), True))
        done.append(order.body["id"])
        return {"v": 1, "id": order.body["id"], "ok": True, "why": ""}

    async def run() -> None:
        with mosquitto(tmp_path) as broker:
            async with watching(broker.port, watcher) as other:
                await other.publish(f"{ROOT}/command", signed(id="old", do="drill"), qos=1, retain=True)
                one = sink(broker.port, act=act)
                async with live(one):
                    await up(one)
                    await other.publish(f"{ROOT}/command", signed(id="now"), qos=1)
                    for junk in (b"", b"\xff\x00", b"a.b.c", b"{}" * 9000, signed()[:-4] + b"AAAA"):
                        await other.publish(f"{ROOT}/command", junk, qos=1)
                    await eventually(lambda: len(watcher.of("answer")) == 7)

    asyncio.run(run())
    answers = [json.loads(p) for p in watcher.of("answer")]
    assert answers[0] == {
        "v": 1, "id": "old", "ok": False, "why": "a retained command is refused: commands are acts, not states",
    }  # fmt: skip
    assert answers[1] == {"v": 1, "id": "now", "ok": True, "why": ""}
    assert all(not one["ok"] and one["why"] for one in answers[2:])
    assert done == ["now"]


STRANGER = OKPKey.generate_key("Ed25519")
NOW = 1_763_925_247
NO_ID = "a command is a JSON object with an id of at most 64 printable characters"
REFUSED = [
    (signed(key=STRANGER, exp=NOW + 60), True, "the signature is not that author's"),
    (signed(author="nobody", exp=NOW + 60), True, "this author is not known here"),
    (signed(exp=NOW - 1), True, "it has expired"),
    (signed(exp=NOW + 999_999), True, "exp is more than 3600 s away"),
    (signed(exp="soon"), True, "say until when it holds: exp, in seconds since 1970"),
    (signed(exp=True), True, "say until when it holds: exp, in seconds since 1970"),
    (signed(do="close", exp=NOW + 60), True, "this author may not do that; he may: ack, drill"),
    (signed(do=["ack"], exp=NOW + 60), True, "this author may not do that; he may: ack, drill"),
    (signed(do="drill", exp=NOW + 60), False, "our clock is not set: drill and shelve wait for it"),
    (signed(id="x" * 65, exp=NOW + 60), True, NO_ID),
    (signed(id="a\nb", exp=NOW + 60), True, NO_ID),
    (b"x" * 20_000, True, "a command has at most 16384 bytes"),
    (b"[" * 9_000, True, "not a signed command: a compact JWS with kid = author is needed"),
]  # fmt: skip


@pytest.mark.parametrize(("token", "synced", "why"), REFUSED, ids=lambda one: str(one)[:24])
def test_every_refusal_has_its_words(token: bytes, synced: bool, why: str) -> None:
    with pytest.raises(Rejected) as no:
        read(token, KEYS, lambda: (NOW * 10**9, synced))
    assert no.value.why == why


def test_an_ack_is_taken_while_the_clock_is_not_set() -> None:
    assert read(signed(exp=5), KEYS, lambda: (NOW * 10**9, False)).body["do"] == "ack"


@pytest.mark.parametrize("alg", ["none", "HS256"])
def test_a_token_cannot_choose_how_it_is_verified(alg: str) -> None:
    head = base64.urlsafe_b64encode(json.dumps({"alg": alg, "kid": "ward-desk"}).encode()).rstrip(b"=")
    body = signed().split(b".")[1]
    for signature in (b"", base64.urlsafe_b64encode(b"x" * 32).rstrip(b"=")):
        with pytest.raises(Rejected):
            read(b".".join((head, body, signature)), KEYS, lambda: (time.time_ns(), True))


def test_a_connection_that_is_refused_is_away() -> None:
    async def run() -> None:
        one = sink(free_port())
        async with live(one):
            await eventually(lambda: one.stats.reason == "cannot connect: Connection refused")

    asyncio.run(run())
