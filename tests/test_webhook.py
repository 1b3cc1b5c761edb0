"""The webhook against a real receiver of bytes: signature, key, every kind of answer, names, secrets."""

import asyncio
import base64
import logging
import socket
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.message import Message
from gateway.notifiers.webhook import SecretError, Webhook, signing_key
from gateway.outcome import Outcome, Verdict
from tests.receiver import Receiver, serve

SECRET = "whsec_" + base64.b64encode(b"planted-secret-of-the-test").decode()
MESSAGE = Message({"v": 1, "id": "g-1", "revision": 3, "headline": "CHÁY 02:14 <b & _x_"}, "h", "t", "vi")
KEY = "g-1/3/duty-hook/0"


def wall(offset_s: float = 0.0, synced: bool = True) -> Callable[[], tuple[int, bool]]:
    return lambda: (round((time.time() + offset_s) * 1e9), synced)


async def told(url: str, clock: Callable[[], tuple[int, bool]] | None = None, **more: Any) -> Outcome:
    hook = Webhook("duty-hook", url, signing_key(SECRET), clock or wall(), **more)
    try:
        async with asyncio.timeout(5):
            return await hook.tell(MESSAGE, None, KEY)
    finally:
        await hook.close()


def with_receiver(mode: str, body: Callable[[Receiver], Awaitable[None]]) -> Receiver:
    receiver = Receiver(mode, SECRET)

    async def run() -> None:
        async with serve(receiver):
            await body(receiver)

    asyncio.run(run())
    return receiver


def answer_to(mode: str) -> Outcome:
    outcomes: list[Outcome] = []

    async def body(receiver: Receiver) -> None:
        outcomes.append(await told(receiver.url))

    with_receiver(mode, body)
    return outcomes[0]


def test_a_push_is_signed_and_carries_its_key_twice() -> None:
    async def body(receiver: Receiver) -> None:
        assert await told(receiver.url) == Outcome(Verdict.ACCEPTED)

    receiver = with_receiver("ok", body)
    request = receiver.requests[0]
    assert request["signature_ok"] is True
    assert request["key"] == request["idempotency_key"] == KEY
    assert request["body"] == MESSAGE.incident
    assert request["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("mode", "verdict", "after_s", "word"),
    [
        ("ok", Verdict.ACCEPTED, None, ""),
        ("status:204", Verdict.ACCEPTED, None, ""),  # no body at all
        ("text:ok", Verdict.ACCEPTED, None, ""),  # what many small receivers say
        ("status:400", Verdict.REJECTED, None, "HTTP 400"),  # the clock is good: it means us
        ("status:401", Verdict.REJECTED, None, "HTTP 401"),
        ("status:404", Verdict.REJECTED, None, "HTTP 404"),
        ("status:408", Verdict.RETRY, None, "HTTP 408"),
        ("status:409", Verdict.RETRY, None, "HTTP 409"),  # the same key is being worked on
        ("status:425", Verdict.RETRY, None, "HTTP 425"),
        ("status:429:7", Verdict.RETRY, 7.0, "HTTP 429"),  # the receiver's own wish, in seconds
        ("status:429:soon", Verdict.RETRY, None, "HTTP 429"),  # a wish that says nothing
        ("status:503:Thu, 01 Jan 1970 00:00:00 GMT", Verdict.RETRY, 0.0, "HTTP 503"),  # a date that is past
        ("status:500", Verdict.RETRY, None, "HTTP 500"),
        ("redirect", Verdict.REJECTED, None, "redirect"),
        ("html", Verdict.RETRY, None, "something else answered"),  # a captive portal
        ("long", Verdict.RETRY, None, "something else answered"),  # a body without an end
        ("nonsense", Verdict.RETRY, None, "no HTTP answer"),
        ("cut", Verdict.RETRY, None, "cut"),  # taken, answer lost
        ("refuse", Verdict.RETRY, None, "cut"),
    ],
)
def test_every_kind_of_answer_is_judged(
    mode: str, verdict: Verdict, after_s: float | None, word: str
) -> None:
    outcome = answer_to(mode)
    assert (outcome.verdict, outcome.after_s) == (verdict, after_s), outcome
    assert word in outcome.reason
    assert bool(outcome.reason) == (verdict is not Verdict.ACCEPTED)


def test_a_redirect_is_not_followed() -> None:
    async def body(receiver: Receiver) -> None:
        await told(receiver.url)

    assert len(with_receiver("redirect", body).requests) == 1


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("an", "an"),
        ("Nguyễn Văn An", "Nguyễn Văn An"),
        ("  an ", "an"),
        ("", None),
        ("x" * 65, None),  # too long for a name
        ("an\n[31m", None),  # would break a log line
    ],
)
def test_the_answer_may_acknowledge(name: str, by: str | None) -> None:
    outcome = answer_to(f"ack-by:{name}")
    assert outcome.verdict is Verdict.ACCEPTED
    assert outcome.ack_by == by


@pytest.mark.parametrize(
    ("offset_s", "synced", "n_requests", "verdict"),
    [
        (0.0, True, 1, Verdict.ACCEPTED),
        (-7200.0, False, 2, Verdict.ACCEPTED),  # two hours behind: signed again with the receiver's time
        (-7200.0, True, 1, Verdict.REJECTED),  # a clock that is believed is not argued with
    ],
)
def test_a_refusal_while_the_clock_is_not_set_is_signed_once_more(
    offset_s: float, synced: bool, n_requests: int, verdict: Verdict
) -> None:
    async def body(receiver: Receiver) -> None:
        assert (await told(receiver.url, wall(offset_s, synced))).verdict is verdict

    receiver = with_receiver("clock:0", body)
    assert len(receiver.requests) == n_requests
    assert {request["key"] for request in receiver.requests} == {KEY}
    if verdict is Verdict.ACCEPTED:
        assert receiver.requests[-1]["signature_ok"] is True


def test_a_receiver_that_refuses_for_another_reason_is_asked_twice_at_most() -> None:
    async def body(receiver: Receiver) -> None:
        assert (await told(receiver.url, wall(-7200, False))).verdict is Verdict.REJECTED

    assert len(with_receiver("status:401", body).requests) == 2


def test_a_second_push_uses_the_open_connection() -> None:
    async def body(receiver: Receiver) -> None:
        hook = Webhook("duty-hook", receiver.url, None, wall())
        for i in range(5):
            assert (await hook.tell(MESSAGE, None, f"g-1/{i}/duty-hook/0")).verdict is Verdict.ACCEPTED
        await hook.close()

    receiver = with_receiver("ok", body)
    assert len(receiver.requests) == 5
    assert receiver.connections == 1
    assert "webhook-signature" not in receiver.requests[0]["headers"]  # no key, no signature


def test_a_closed_port_says_so() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outcome = asyncio.run(told(f"http://127.0.0.1:{port}/"))
    assert outcome == Outcome(Verdict.RETRY, "cannot connect: Connection refused")


@pytest.mark.parametrize("mode", ["drip", "hang"])
def test_a_receiver_that_never_ends_its_answer_can_be_given_up(mode: str) -> None:
    async def body(receiver: Receiver) -> None:
        hook = Webhook("duty-hook", receiver.url, None, wall())
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await hook.tell(MESSAGE, None, KEY)
        await hook.close()
        assert time.monotonic() - begun < 0.8

    with_receiver(mode, body)


def test_a_dead_name_server_holds_neither_another_push_nor_the_exit() -> None:
    async def run() -> None:
        hole = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # takes questions, never answers
        hole.bind(("127.0.0.1", 0))
        port = hole.getsockname()[1]

        closed: list[bool] = []

        class Names(aiohttp.AsyncResolver):
            async def close(self) -> None:
                closed.append(True)
                await super().close()

        def resolver() -> aiohttp.AsyncResolver:
            return Names(nameservers=["127.0.0.1"], udp_port=port)

        lost = Webhook("lost", "http://receiver.invalid-ward.vn/", None, wall(), resolver=resolver)
        async with serve(Receiver()) as receiver:
            good = Webhook("good", receiver.url, None, wall())
            stuck = asyncio.create_task(lost.tell(MESSAGE, None, KEY))
            await asyncio.sleep(0.2)
            assert not stuck.done()
            begun = time.monotonic()
            assert (await good.tell(MESSAGE, None, KEY)).verdict is Verdict.ACCEPTED
            assert time.monotonic() - begun < 0.2
            stuck.cancel()
            with pytest.raises(asyncio.CancelledError):
                await stuck
            await lost.close()
            await good.close()
            assert closed == [True]  # else the open look-up calls back into a closed loop
        hole.close()

    begun = time.monotonic()
    asyncio.run(run())  # ends with the loop: nothing is left to wait for
    assert time.monotonic() - begun < 1.5


def test_a_name_that_does_not_exist_is_tried_again() -> None:
    outcome = asyncio.run(told("http://no-such-host.invalid/"))
    assert outcome.verdict is Verdict.RETRY
    assert outcome.reason in ("the name does not resolve", "cannot connect: no reason given")


@pytest.mark.parametrize("url", ["not a url", "http://", "http://127.0.0.1:99999/"])
def test_an_impossible_url_is_refused_without_repeating_it(url: str) -> None:
    outcome = asyncio.run(told(url))
    assert outcome.verdict is Verdict.REJECTED
    assert outcome.reason == "the URL cannot be used"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "planted", "cGxhbnRlZA=="])
def test_a_key_that_is_none_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(SecretError) as caught:
        signing_key(secret)
    assert str(caught.value) == "the key must be whsec_ followed by base64"


@pytest.mark.parametrize(
    "mode", ["ok", "status:401", "status:500", "redirect", "nonsense", "cut", "refuse", "html"]
)
def test_no_secret_reaches_a_reason_or_a_log_at_debug(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    outcomes: list[Outcome] = []

    async def body(receiver: Receiver) -> None:
        planted = f"http://user:PLANTED-PW@127.0.0.1:{receiver.port}/hook/PLANTED-PATH?token=PLANTED-QUERY"
        outcomes.append(await told(planted))

    with_receiver(mode, body)
    seen = caplog.text + outcomes[0].reason
    assert "PLANTED" not in seen
    assert SECRET not in seen


@pytest.mark.parts
@pytest.mark.parametrize(
    ("synced", "word"),
    [
        (True, "TLS failed: nobody we trust signed the server's certificate"),
        (False, "TLS failed: nobody we trust signed the server's certificate while our clock is not set"),
    ],
)
def test_a_certificate_that_nobody_signed_is_no_answer(tmp_path: Path, synced: bool, word: str) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(
        ["openssl", "req", "-x509", *kind, "-keyout", str(key), "-out", str(cert), *subject],
        check=True,
        capture_output=True,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cafile=str(cert))

    async def run() -> None:
        async with serve(Receiver("ok", SECRET), tls=server) as receiver:
            outcome = await told(receiver.url, wall(synced=synced))
            assert outcome == Outcome(Verdict.RETRY, word)
            assert await told(receiver.url, tls=trusting) == Outcome(Verdict.ACCEPTED)

    asyncio.run(run())
