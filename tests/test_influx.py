"""InfluxDB: the real 1.6.7 behind its v2 path, and a receiver that answers whatever a server may answer."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from gateway.forward import Tag
from gateway.influx import Influx
from gateway.outcome import Fault, Outcome, Verdict
from gateway.sift import sift
from tests.servers import eventually, influxd, v2_path, victoria_metrics

TAG = Tag("b41c", 1, 3)
LINES = [f"reading,sensor=s-{i} depth_m={i}.5,quality=0i {1_763_925_247_000 + i}" for i in range(8)]
Answer = Callable[[bytes], bytes]


def influx(url: str, bucket: str = "ward", **options: object) -> Influx:
    return Influx("ward-influx", [url], bucket, "ward", "PLANTED-token", lambda: (0, True), **options)  # type: ignore[arg-type]


def answer(status: int, body: str = "", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body.encode())}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body.encode()


@contextlib.asynccontextmanager
async def receiver(say: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """An HTTP server that gives `say(body)` for each request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                reply = say(await reader.readexactly(length))
                if not reply:
                    break
                writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def told(say: Answer, lines: Sequence[str] = LINES) -> Outcome:
    async def run() -> Outcome:
        async with receiver(say) as url:
            sink = influx(url)
            try:
                return await sink.send(lines, TAG)
            finally:
                await sink.close()

    return asyncio.run(run())


POINTS_BEYOND = (
    '{"code":"internal error","message":"unexpected error writing points to database: partial write: '
    'points beyond retention policy dropped=3"}'
)
# what comes back, and what it means
ANSWERS = [
    (answer(204), Outcome(Verdict.ACCEPTED)),
    (answer(200, "<html>Login</html>"),
     Outcome(Verdict.RETRY, "something else answered: not 204", fault=Fault.FOREIGN)),
    (answer(302, "", Location="http://elsewhere/"),
     Outcome(Verdict.RETRY, "HTTP 302: a redirect, not followed", fault=Fault.FOREIGN)),
    (answer(404, "<html>nginx</html>"),
     Outcome(Verdict.RETRY, "something else answered: HTTP 404", fault=Fault.FOREIGN)),
    (answer(404, '{"code":"not found","message":"bucket \\"ward\\" not found"}'),
     Outcome(Verdict.RETRY, 'HTTP 404: bucket "ward" not found', fault=Fault.REFUSING)),
    (answer(401, '{"code":"unauthorized","message":"unauthorized access"}'),
     Outcome(Verdict.RETRY, "HTTP 401: unauthorized access", fault=Fault.REFUSING)),
    (answer(403), Outcome(Verdict.RETRY, "HTTP 403", fault=Fault.REFUSING)),
    (answer(429, '{"message":"slow down"}', Retry_After="7"),
     Outcome(Verdict.RETRY, "HTTP 429: slow down", after_s=7.0, fault=Fault.AWAY)),
    (answer(503, "busy", Date="Mon, 23 Nov 2026 00:00:00 GMT", Retry_After="Mon, 23 Nov 2026 00:00:30 GMT"),
     Outcome(Verdict.RETRY, "HTTP 503", after_s=30.0, fault=Fault.AWAY)),
    (answer(500, POINTS_BEYOND), Outcome(
        Verdict.PARTIAL, "HTTP 500: unexpected error writing points to database: partial write: points beyond "
        "retention policy dropped=3", rejected_n=3)),
    (answer(422, '{"code":"unprocessable entity","message":"partial write: field type conflict dropped=1"}'),
     Outcome(Verdict.PARTIAL, "HTTP 422: partial write: field type conflict dropped=1", rejected_n=1)),
    (answer(400, '{"error":"partial write: field type conflict dropped=2"}'),
     Outcome(Verdict.PARTIAL, "HTTP 400: partial write: field type conflict dropped=2", rejected_n=2)),
    (answer(400, '{"code":"invalid","message":"unable to parse\\n\\u001b[2Jx"}'),
     Outcome(Verdict.REJECTED, "HTTP 400: unable to parse  [2Jx")),
    (answer(400, '{"error":"partial write: unable to parse \'x\': missing fields dropped=0"}'),
     Outcome(Verdict.REJECTED, "HTTP 400: partial write: unable to parse 'x': missing fields dropped=0")),
    (answer(500, '{"message":"oops"}'), Outcome(Verdict.RETRY, "HTTP 500: oops")),
    (b"", Outcome(Verdict.RETRY, "the connection was cut")),
    (b"\x00\xffnonsense\r\n\r\n", Outcome(Verdict.RETRY, "no HTTP answer (ClientResponseError)", fault=Fault.AWAY)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "outcome"), ANSWERS, ids=lambda one: getattr(one, "reason", None) or "answer"
)
def test_every_answer_has_its_meaning(reply: bytes, outcome: Outcome) -> None:
    assert told(lambda body: reply) == outcome


def test_an_endless_answer_ends() -> None:
    endless = b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n"
    assert told(lambda body: endless + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 100).verdict is Verdict.RETRY


def test_too_large_is_halved_until_it_passes_and_remembered() -> None:
    sizes: list[int] = []

    def say(body: bytes) -> bytes:
        sizes.append(body.count(b"\n") + 1)
        return answer(204 if sizes[-1] <= 3 else 413)

    async def run() -> None:
        async with receiver(say) as url:
            sink = influx(url)
            for _ in range(2):
                assert (await sink.send(LINES, TAG)).verdict is Verdict.ACCEPTED
            await sink.close()

    asyncio.run(run())
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]


def test_a_refused_connection_and_a_name_that_does_not_resolve_are_away() -> None:
    async def run(url: str) -> Outcome:
        sink = influx(url)
        outcome = await sink.send(LINES, TAG)
        await sink.close()
        return outcome

    assert asyncio.run(run("http://127.0.0.1:1")) == Outcome(
        Verdict.RETRY, "cannot connect: Connection refused", fault=Fault.AWAY
    )
    gone = asyncio.run(run("http://no-such-host.invalid:8086"))
    assert (gone.reason, gone.fault) == ("the name does not resolve", Fault.AWAY)


def test_the_next_address_is_used_after_a_failure_that_is_not_the_batchs() -> None:
    async def run() -> None:
        async with receiver(lambda body: answer(204)) as url:
            sink = Influx("i", ["http://127.0.0.1:1", url], "ward", None, None, lambda: (0, True))
            assert (await sink.send(LINES, TAG)).fault is Fault.AWAY
            assert (await sink.send(LINES, TAG)).verdict is Verdict.ACCEPTED
            await sink.close()

    asyncio.run(run())


def certificate(folder: Path, ago: str = "-0 days") -> ssl.SSLContext:
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["faketime", ago, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


@pytest.mark.parts
def test_a_certificate_is_verified_and_a_wrong_clock_is_named(tmp_path: Path) -> None:
    async def run(is_known: bool, synced: bool, ago: str = "-0 days") -> Outcome:
        async with receiver(lambda body: answer(204), certificate(tmp_path, ago)) as url:
            ca = str(tmp_path / "cert.pem") if is_known else None
            sink = Influx("i", [url], "ward", None, None, lambda: (0, synced), ca=ca)
            outcome = await sink.send(LINES, TAG)
            await sink.close()
            return outcome

    nobody = "TLS failed: nobody we trust signed the server's certificate"
    expired = "TLS failed: the server's certificate has expired"
    assert asyncio.run(run(True, True)).verdict is Verdict.ACCEPTED
    assert asyncio.run(run(False, True)).reason == nobody
    assert asyncio.run(run(False, False)).reason == f"{nobody} while our clock is not set"
    assert asyncio.run(run(True, True, "-3 days")).reason == expired
    assert asyncio.run(run(True, False, "-3 days")).reason == f"{expired} while our clock is not set"


@pytest.mark.parts
def test_the_real_database_has_each_line_once_however_often_it_comes(tmp_path: Path) -> None:
    async def run() -> None:
        with influxd(tmp_path) as server:
            async with v2_path(server) as url:
                for compress in (False, True):
                    sink = influx(url, compress=compress)
                    assert await sink.send(LINES, TAG) == Outcome(Verdict.ACCEPTED)
                    await sink.close()
            assert server.rows("SELECT count(depth_m) FROM reading") == [[0, 8]]

    asyncio.run(run())


@pytest.mark.parts
def test_victoria_metrics_takes_the_same_lines_and_keeps_each_time_once(tmp_path: Path) -> None:
    async def run() -> None:
        with victoria_metrics(tmp_path) as server:
            sink = influx(f"http://127.0.0.1:{server.port}")
            for _ in range(2):
                assert await sink.send(LINES, TAG) == Outcome(Verdict.ACCEPTED)
            await sink.close()
            match = '{__name__=~"reading_depth_m"}'
            want = {f"reading_depth_m/s-{i}": 1 for i in range(8)}
            await eventually(lambda: server.values(match) == want)

    asyncio.run(run())


@pytest.mark.parts
def test_one_bad_line_is_found_and_all_others_are_in_the_real_database(tmp_path: Path) -> None:
    async def run() -> None:
        with influxd(tmp_path) as server:
            async with v2_path(server) as url:
                sink = influx(url)
                lines = [*LINES[:5], "reading,sensor=x nonsense 1763925247000", *LINES[5:]]
                assert (await sink.send(lines, TAG)).verdict is Verdict.REJECTED
                found = await sift(lines, lambda piece: sink.send(piece, TAG))
                assert found is not None
                assert (found.delivered, [dead.text for dead in found.dead]) == (8, [lines[5]])
                # a text where numbers are: the server names the count, the rest is written
                wrong = [*LINES, 'reading,sensor=s-1 depth_m="deep" 1763925248000']
                outcome = await sink.send(wrong, TAG)
                assert (outcome.verdict, outcome.rejected_n) == (Verdict.PARTIAL, 1)
                nowhere = influx(url, bucket="absent")
                gone = await nowhere.send(LINES, TAG)
                assert gone.fault is Fault.REFUSING
                await sink.close()
                await nowhere.close()
            assert server.rows("SELECT count(depth_m) FROM reading") == [[0, 8]]

    asyncio.run(run())


def test_the_token_stands_in_no_reason_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for reply in (answer(401, "no"), answer(500, '{"message":"no"}'), answer(302), b""):
        assert "PLANTED" not in told(lambda body, reply=reply: reply).reason  # type: ignore[misc]
    assert "PLANTED" not in caplog.text
