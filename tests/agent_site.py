"""Sites of the agent tests: call points, each at a place of its own with a fire alarm of its own, on one quick bus."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.bench.sites import many_call_points
from tests.rig import Rig, wait

WEB = '[web]\nlisten = "127.0.0.1:WEB"\n'


def houses(n: int = 4, repeat_s: int = 86400, hooks: Iterable[str] = ()) -> str:
    """`n` houses. `hooks`: further webhooks; `<name>` in their URL is their receiver's port."""
    text = many_call_points(n, period_s=0.1).replace("repeat_s = 86400", f"repeat_s = {repeat_s}")
    return text + WEB + "".join(map(hook, hooks))


def lane(hooks: Iterable[str] = ()) -> str:
    """tests/sites/lane.toml: a house whose smoke head is a pre-alarm, which its call point makes a fire."""
    return (Path(__file__).parent / "sites" / "lane.toml").read_text() + WEB + "".join(map(hook, hooks))


def hook(name: str) -> str:
    """A webhook of its own receiver."""
    return f'[[notifier]]\nid = "{name}"\nkind = "webhook"\nurl = "http://127.0.0.1:<{name}>/hook"\n'


def press(rig: Rig, i: int, value: int = 1) -> None:
    """The call point of house `i`."""
    rig.set(f"nut-{i}", "call_point", value)


def told(rig: Rig, i: int, name: str = "PORT") -> list[dict[str, Any]]:
    """What the receiver got about a fire in house `i`."""
    return [one for one in rig.received(name) if one["channels"] == [f"nut-{i}/call_point"]]


def until_told(rig: Rig, i: int, name: str = "PORT", within_s: float = 10.0) -> dict[str, Any]:
    """Wait until the receiver got the fire in house `i`; its first request."""
    found: list[dict[str, Any]] = wait(lambda: told(rig, i, name), within_s)
    return found[0]


def until_accepted(rig: Rig, within_s: float = 10.0) -> None:
    """Wait until nothing is on its way any more."""
    wait(lambda: all(one["pending"] == 0 for one in rig.view()["notifiers"]), within_s)


def until_logged(rig: Rig, text: str, n: int = 1, within_s: float = 10.0) -> None:
    """Wait until the agent's log says it `n` times."""
    wait(lambda: rig.agent_log().count(text) >= n, within_s)


def notifier(rig: Rig, name: str) -> dict[str, Any]:
    """A notifier's row of the snapshot."""
    found: dict[str, Any] = next(one for one in rig.view()["notifiers"] if one["id"] == name)
    return found


def exchanges(rig: Rig) -> int:
    """Exchanges on the bus so far."""
    return int(rig.view()["buses"][0]["exchanges"])
