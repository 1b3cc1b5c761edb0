"""Bad days of receivers, with real processes: a fire arrives in the end, once for each key, and holds up nobody.

Every receiver here misbehaves for its first requests and takes what comes then; its own log says what it got.
"""

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_site import (
    exchanges,
    houses,
    lane,
    notifier,
    press,
    told,
    until_accepted,
    until_logged,
    until_told,
)
from tests.rig import Rig, free_port, wait

pytestmark = pytest.mark.parts

# name: (mode, how often a key comes, bad lines)
BAD_RECEIVERS = {
    "slow": ("slow:2", 1, 0),  # slow is not bad
    "hang": ("hang*1;ok", 2, 1),  # the attempt ends after its ten seconds
    "drip": ("drip*1;ok", 2, 1),  # a byte a second: the deadline is for the whole answer
    "refuse": ("refuse*2;ok", 1, 1),  # reset before it read anything
    "nonsense": ("nonsense*1;ok", 2, 1),
    "cut": ("cut*1;ok", 2, 1),  # took it, the answer was lost: the key comes once more
    "busy": ("status:503*1;ok", 2, 1),
    "portal": ("html*1;ok", 2, 1),  # 200, from something else
    "endless": ("long*1;ok", 2, 1),  # a body without an end
}


def test_each_bad_receiver_gets_each_key_in_the_end_and_holds_up_no_other(tmp_path: Path) -> None:
    with Rig(tmp_path, houses(hooks=(*BAD_RECEIVERS, "away"))) as rig:
        rig.start_receiver("ok")
        for name, (mode, _, _) in BAD_RECEIVERS.items():
            rig.start_receiver(mode, name=name)
        rig.will_listen("away", away := free_port())
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        press(rig, 0)
        first = until_told(rig, 0)
        assert notifier(rig, "hang")["pending"] == 1  # the good one was told while this one hangs
        until_logged(rig, "notifier=away state=bad verdict=retry reason='cannot connect: Connection refused'")
        rig.start_receiver("ok", away, name="away")
        polled = exchanges(rig)
        press(rig, 1)
        second = until_told(rig, 1)
        assert notifier(rig, "hang")["pending"] >= 1
        until_accepted(rig, 30.0)
        assert exchanges(rig) > polled + 20
        log = rig.agent_log()
    assert [len(told(rig, i)) for i in (0, 1)] == [1, 1]
    got = {}
    for name in (*BAD_RECEIVERS, "away"):
        keys = [one["key"] for one in told(rig, 0, name)]
        later = [one["key"] for one in told(rig, 1, name)]
        assert set(keys) == {first["key"].replace("duty-hook", name)}, name
        assert set(later) == {second["key"].replace("duty-hook", name)}, name
        lines = [log.count(f"notifier={name} state={word}") for word in ("bad", "good")]
        got[name] = (len(keys), *lines)
    want = {name: (n, lines, lines) for name, (_, n, lines) in BAD_RECEIVERS.items()}
    assert got == want | {"away": (1, 1, 1)}
    assert "notifier=duty-hook" not in log


@contextlib.contextmanager
def dead_name_server() -> Iterator[tuple[str, ...]]:
    """A prefix for the agent: its names are asked of a server that never answers. Empty where that is not allowed."""
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        try:
            silent.bind(("127.0.0.9", 53))
        except OSError:
            pytest.skip("needs the right to listen on port 53")
        resolv = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".conf"))
        resolv.write("nameserver 127.0.0.9\n")
        resolv.flush()
        script = f'mount --bind {resolv.name} /etc/resolv.conf && exec "$@"'
        prefix = ("unshare", "-m", "sh", "-c", script, "sh")
        if subprocess.run([*prefix, "true"], capture_output=True).returncode:
            pytest.skip("needs the right to give the agent an /etc/resolv.conf of its own")
        yield prefix


@pytest.mark.parametrize("name_server", ["as it is", "dead"])
def test_a_name_that_does_not_resolve_blocks_no_poller_no_push_and_no_shutdown(
    tmp_path: Path, name_server: str
) -> None:
    site = houses(hooks=("lost",)).replace("http://127.0.0.1:<lost>/", "https://no-such-host.invalid/")
    names = contextlib.nullcontext(()) if name_server == "as it is" else dead_name_server()
    with names as prefix, Rig(tmp_path, site) as rig:
        rig.start_receiver("ok")
        rig.start_virtual()
        rig.start_agent(*prefix)
        rig.until_up()
        press(rig, 0)
        until_told(rig, 0)
        polled = exchanges(rig)
        assert notifier(rig, "lost")["pending"] == 1
        press(rig, 1)
        until_told(rig, 1)
        wait(lambda: exchanges(rig) > polled + 20)
        if name_server == "as it is":
            until_logged(rig, "notifier=lost state=bad verdict=retry reason='the name does not resolve'")
        start = time.monotonic()
        assert rig.stop_agent() == 0
        assert time.monotonic() - start < 5.0
        assert "notifier=duty-hook" not in rig.agent_log()
        # The next start sends what was under way, under the same key, once the name is known.
        rig.site_text = houses(hooks=("lost",))
        rig.start_receiver("ok", name="lost")
        rig.start_agent()
        until_told(rig, 0, "lost")
        until_accepted(rig)
        assert [one["key"] for one in told(rig, 0, "lost")] == ["gw-1/1/lost/0"]
        assert len(told(rig, 0)) == 1


def test_a_receiver_that_refused_is_told_with_the_next_revision_and_not_before(tmp_path: Path) -> None:
    with Rig(tmp_path, lane(hooks=("forbids",))) as rig:
        rig.start_receiver("ok")
        rig.start_receiver("status:404*1;ok", name="forbids")
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        rig.set("khoi-5-12", "smoke_contact", 1)
        until_logged(rig, "notifier=forbids state=bad verdict=rejected reason='HTTP 404'")
        until_accepted(rig)
        assert notifier(rig, "forbids")["failed"] == 1
        rig.set("nut-5-12", "call_point", 1)
        until_logged(rig, "notifier=forbids state=good after_failures=1")
        until_accepted(rig)
        got = [(one["key"], one["reason"]) for one in rig.received("forbids") if one["accepted"]]
        assert got == [("xd-gw-07-1/2/forbids/0", "first")]  # it was never told of it before
        assert [one["reason"] for one in rig.received()] == ["first", "escalated"]
