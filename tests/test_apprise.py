"""apprise against local servers shaped like ntfy, Telegram and a JSON receiver: words, refusals, hangs, secrets."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

from edge.threads import Worker
from gateway.message import Message
from gateway.notifiers.apprise import Apprise
from gateway.outcome import Outcome, Verdict
from tests.receiver import Receiver, serve

# The field case word for word: underscores, brackets, stars, a minus at the start, < and & through a markup channel.
HEADLINE = "CHÁY 02:14 Ng. 5/12 [T3] *mái* <b & _x_. Gọi 114"
BODY = "pms-2/pm2_5_ug_m3\n-0.1 <b & (1) ~x~ `y` ![z](q) \\ end."
MESSAGE = Message({"priority": 1}, HEADLINE, f"{HEADLINE}\n{BODY}", "vi")
TOKEN = "123456789:PLANTED-TOKEN-aaaaaaaaaaaaaaaaaaaaaaa"


def with_receiver(mode: str, body: Callable[[Receiver], Awaitable[None]]) -> Receiver:
    receiver = Receiver(mode)

    async def run() -> None:
        async with serve(receiver), asyncio.timeout(20):
            await body(receiver)

    asyncio.run(run())
    return receiver


async def told(url: str) -> Outcome:
    notifier = Apprise("phone", url, Worker("tell[phone]"))
    try:
        return await notifier.tell(MESSAGE, None, "g-1/1/phone/0")
    finally:
        await notifier.close()


@pytest.fixture
def telegram(monkeypatch: pytest.MonkeyPatch) -> Callable[[Receiver], str]:
    """Points apprise's Telegram at the receiver; gives the URL to use."""
    module = pytest.importorskip("apprise.plugins.telegram")

    def point(receiver: Receiver) -> str:
        monkeypatch.setattr(module.NotifyTelegram, "notify_url", f"http://127.0.0.1:{receiver.port}/bot")
        return f"tgram://{TOKEN}/12345"

    return point


@pytest.mark.parametrize("url", ["json://127.0.0.1:{port}/x", "ntfy://127.0.0.1:{port}/topic"])
def test_plain_services_get_it_word_for_word(url: str) -> None:
    async def body(receiver: Receiver) -> None:
        assert await told(url.format(port=receiver.port)) == Outcome(Verdict.ACCEPTED)

    request = with_receiver("ok", body).requests[0]["body"]
    assert (request["title"], request["message"]) == (HEADLINE, BODY)


def test_telegram_gets_markup_characters_escaped_for_its_grammar(telegram: Callable[[Receiver], str]) -> None:
    async def body(receiver: Receiver) -> None:
        assert await told(telegram(receiver)) == Outcome(Verdict.ACCEPTED)

    request = with_receiver("ok", body).requests[0]["body"]
    assert request["parse_mode"] == "HTML"
    # What Telegram shows: its HTML knows only these entities, and only <b> was added, around the headline.
    shown = request["text"].replace("<b>", "").replace("</b>", "").replace("\r\n", "\n")
    assert "<" not in shown
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        shown = shown.replace(entity, character)
    assert shown == f"{HEADLINE}\n{BODY}"


def test_a_refused_formatting_is_tried_once_more_without_markup(telegram: Callable[[Receiver], str]) -> None:
    async def body(receiver: Receiver) -> None:
        assert await told(telegram(receiver)) == Outcome(Verdict.ACCEPTED)

    receiver = with_receiver("status:400*1;ok", body)
    first, second = (request["body"]["text"] for request in receiver.requests)
    assert "[T3]" in first
    assert not set("_*[]&<") & set(second.replace("<b>", "").replace("</b>", ""))
    assert "CHÁY 02:14 Ng. 5/12  T3 " in second


@pytest.mark.parametrize("mode", ["status:500", "status:401", "status:429", "refuse", "cut"])
def test_a_no_is_tried_again(mode: str) -> None:
    async def body(receiver: Receiver) -> None:
        outcome = await told(f"ntfy://127.0.0.1:{receiver.port}/topic")
        assert outcome == Outcome(Verdict.RETRY, "the service refused it or could not be reached")

    with_receiver(mode, body)


def test_a_redirect_is_not_followed() -> None:
    async def body(receiver: Receiver) -> None:
        assert (await told(f"json://127.0.0.1:{receiver.port}/x")).verdict is Verdict.RETRY

    # Two posts (as it is and bare), and none to the place that the redirect names.
    assert len(with_receiver("redirect", body).requests) == 2


@pytest.mark.parametrize("url", ["", "PLANTED", "nonsense://PLANTED", "tgram://PLANTED"])
def test_a_url_that_apprise_does_not_know_is_refused_without_repeating_it(url: str) -> None:
    outcome = asyncio.run(told(url))
    assert outcome == Outcome(Verdict.REJECTED, "the credential's URL is no apprise URL")


@pytest.mark.parametrize(
    ("url", "reason"),
    [("json://127.0.0.1/x", ""), ("nonsense://PLANTED", "the credential's URL is no apprise URL")],
)
def test_the_url_can_be_judged_before_the_first_push(url: str, reason: str) -> None:
    async def run() -> str:
        return await Apprise("phone", url, Worker("tell[phone]")).prepare()

    assert asyncio.run(run()) == reason


def test_a_push_that_hangs_holds_neither_the_loop_nor_the_next_answer() -> None:
    async def body(receiver: Receiver) -> None:
        notifier = Apprise("phone", f"json://127.0.0.1:{receiver.port}/x", Worker("tell[hangs]"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await notifier.tell(MESSAGE, None, "g-1/1/phone/0")
        begun = time.monotonic()
        outcome = await notifier.tell(MESSAGE, None, "g-1/1/phone/0")
        assert outcome == Outcome(Verdict.RETRY, "an earlier push still hangs")
        assert time.monotonic() - begun < 0.1
        await notifier.close()

    begun = time.monotonic()
    with_receiver("hang", body)  # ends although the thread is still at it
    assert time.monotonic() - begun < 3
    assert all(t.daemon for t in threading.enumerate() if t.name == "tell[hangs]")


def test_pushes_go_one_after_another() -> None:
    async def body(receiver: Receiver) -> None:
        notifier = Apprise("phone", f"ntfy://127.0.0.1:{receiver.port}/x", Worker("tell[phone]"))
        begun = time.monotonic()
        answers = await asyncio.gather(*(notifier.tell(MESSAGE, None, f"g-{i}/1/phone/0") for i in range(3)))
        assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED}
        assert time.monotonic() - begun < 2  # apprise's own pause of 5.5 s between posts is off

    assert len(with_receiver("ok", body).requests) == 3


@pytest.mark.parametrize("mode", ["ok", "status:401", "status:500", "refuse", "redirect", "nonsense"])
def test_no_secret_reaches_a_log_at_debug(
    mode: str,
    telegram: Callable[[Receiver], str],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    reasons: list[str] = []

    async def body(receiver: Receiver) -> None:
        reasons.append((await told(telegram(receiver))).reason)
        planted = f"json://user:PLANTED-PW@127.0.0.1:{receiver.port}/PLANTED?+X-Token=PLANTED"
        reasons.append((await told(planted)).reason)

    with_receiver(mode, body)
    out, err = capfd.readouterr()
    assert "PLANTED" not in caplog.text + out + err + " ".join(reasons)
