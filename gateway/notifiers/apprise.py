"""Tells through an apprise URL: ntfy, Telegram, mail and about a hundred others. The URL is a secret as a
whole.

apprise is synchronous: it runs in the notifier's own thread (`blocking`), one push at a time, and is imported
there, because the import alone takes a second. The caller's deadline ends the wait, not the thread: as long
as an abandoned push still hangs, further ones are answered with RETRY at once, so that nothing piles up. The
thread is a daemon.

Text is handed over as plain text; apprise converts it for the service (HTML-escaped for Telegram and mail). A
refused formatting cannot be told from another refusal, because apprise answers only yes or no; so a first
refusal is tried once more in the same attempt with the characters left out that are markup anywhere.

Limits: one URL = one receiver; a service that took the push and lost its answer gets it twice (there is no
key). "No" is RETRY: apprise does not say whether the service refused or could not be reached. Its loggers,
and those of the libraries it posts with, are silenced for good: at DEBUG, and in some warnings, they print
the URL.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from gateway.message import Message
from gateway.outcome import Outcome, Verdict

T = TypeVar("T")

_TALKERS: Final = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib", "paho", "slixmpp")
_NO_URL: Final = "the credential's URL is no apprise URL"
# Characters that are markup in Markdown, HTML or BBCode; the last resort loses them rather than the message.
_MARKUP: Final = str.maketrans(dict.fromkeys("_*`~|[]<>&\\", " "))


class Blocking(Protocol):
    """Runs a function in a thread and gives its result."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Await the result of `work()`."""
        ...


class Apprise:
    """One apprise URL."""

    def __init__(self, id: str, url: str, blocking: Blocking) -> None:
        self.id = id
        self._url = url
        self._blocking = blocking
        self._one_at_a_time = asyncio.Lock()
        self._running: asyncio.Task[Outcome] | None = None
        self._plugin: Any = None

    async def prepare(self) -> str:
        """Import apprise and read the URL before the first push needs it."""

        def load() -> str:
            self._plugin = self._plugin or _plugin(self._url)
            return _NO_URL if self._plugin is None else ""

        async with self._one_at_a_time:
            return await self._blocking(load)

    async def tell(self, message: Message, person: str | None, key: str) -> Outcome:
        """One attempt. Bears being cancelled; the caller sets the deadline."""
        async with self._one_at_a_time:
            if self._running is not None and not self._running.done():
                return Outcome(Verdict.RETRY, "an earlier push still hangs")
            work = self._work(message.headline, message.text)
            self._running = asyncio.create_task(self._run(work), name=f"apprise[{self.id}]")
            self._running.add_done_callback(_forget)
            # Shielded: a cancelled wait must not let the next push in while the thread is still busy.
            return await asyncio.shield(self._running)

    async def close(self) -> None:
        """Forget a push that hangs."""
        if self._running is not None:
            self._running.cancel()

    async def _run(self, work: Callable[[], Outcome]) -> Outcome:
        return await self._blocking(work)

    def _work(self, headline: str, text: str) -> Callable[[], Outcome]:
        def send() -> Outcome:
            if self._plugin is None:
                self._plugin = _plugin(self._url)
            if self._plugin is None:
                return Outcome(Verdict.REJECTED, _NO_URL)
            body = text.removeprefix(headline).lstrip("\n")
            if self._plugin.notify(body=body, title=headline, body_format="text"):
                return Outcome(Verdict.ACCEPTED)
            bare = (headline.translate(_MARKUP), body.translate(_MARKUP))
            if bare != (headline, body) and self._plugin.notify(
                body=bare[1], title=bare[0], body_format="text"
            ):
                return Outcome(Verdict.ACCEPTED)
            return Outcome(Verdict.RETRY, "the service refused it or could not be reached")

        return send


def _forget(done: asyncio.Task[Outcome]) -> None:
    """Takes the error of a push that nobody waits for any more; asyncio would print it, URL and all."""
    if not done.cancelled():
        done.exception()


def _plugin(url: str) -> Any:
    """An apprise object with one service, or None for a URL that it does not know."""
    silence()
    import apprise  # a second of work: in the thread, when first needed

    asset = apprise.AppriseAsset(
        app_id="wardwatch",
        app_desc="wardwatch",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
        interpret_escapes=False,
        http_redirects=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        plugin_paths=None,
    )
    silence()  # the import sets levels of its own
    service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if service is None:
        return None
    # apprise pauses 5.5 s between two posts of one service; a second fire must not wait for the first.
    service.request_rate_per_sec = 0
    one = apprise.Apprise(asset=asset)
    one.add(service)
    return one


def silence() -> None:
    """Close the mouths of the libraries that print URLs."""
    for name in _TALKERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
