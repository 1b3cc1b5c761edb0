"""The view without a terminal: one plain line for each change, nothing while nothing changes.

For logs, pipes and screen readers. `changes` compares two pictures of the world and says what is different
in the same words as the screen (`edge/view_words.py`). A measured value alone is no change; its state, a
contact and what it raises are. Lines carry the agent's own time; while it is down, its last time plus how
long it has been silent.
"""

from datetime import datetime, timedelta
from typing import Any

from edge.view import Seen
from edge.view_words import (
    CONTACT_WORDS,
    age_words,
    alarms_by_channel,
    clean,
    incident_words,
    kind_words,
    shown_channels,
    state_words,
    value_words,
)


def changes(before: Seen, after: Seen) -> list[str]:
    """What is new in `after`, one line each, oldest cause first."""
    now = _clock(after)
    lines = _agent(before, after)
    if after.snapshot is not None and after.down_s == 0:
        old = before.snapshot or {}
        is_same = old.get("pid") == after.snapshot["pid"]
        lines += _places(before, after)
        lines += _new(_incidents(before), _incidents(after))
        lines += _new(_buses(before), _buses(after))
        happened = _added(old["events"] if is_same else [], after.snapshot["events"])
        lines += [f"event: {clean(event['what'])}" for event in happened]
    for message in after.messages[len(_common(before.messages, after.messages)) :]:
        trust = "signature right" if message["trusted"] else "SIGNATURE WRONG, not believed"
        lines.append(f"phone: {clean(message['headline'])} ({trust})")
    if after.caption and after.caption != before.caption:
        lines.append(f"demo: {clean(after.caption)}")
    return [f"{now} {line}" for line in lines]


def _clock(seen: Seen) -> str:
    if seen.snapshot is None:
        return "--:--:--"
    wall = datetime.fromisoformat(seen.snapshot["wall"]) + timedelta(seconds=seen.down_s)
    return wall.strftime("%H:%M:%S")


def _agent(before: Seen, after: Seen) -> list[str]:
    if after.snapshot is None:
        is_new = after.away and after.away != before.away
        return [f"waiting for the agent: {clean(after.away)}"] if is_new else []
    if after.down_s > 0:
        if before.down_s > 0:
            return []
        return [f"AGENT DOWN, nothing is judged now: {clean(after.away)}"]
    lines = []
    if before.snapshot is None or before.down_s > 0 or before.snapshot["pid"] != after.snapshot["pid"]:
        was_away = before.snapshot is not None and before.down_s > 0
        back = f" after {age_words(before.down_s)}" if was_away else ""
        lines.append(f"agent up{back}, process {after.snapshot['pid']}")
    health, old = _health(after), _health(before)
    if health != old:
        lines.append(health)
    return lines


def _health(seen: Seen) -> str:
    if seen.snapshot is None:
        return ""
    reasons = "; ".join(clean(reason) for reason in seen.snapshot["reasons"])
    return f"equipment {clean(seen.snapshot['state']).upper()}{': ' if reasons else ''}{reasons}"


def _places(before: Seen, after: Seen) -> list[str]:
    assert after.snapshot is not None
    names = {place["id"]: clean(place["name"]) for place in after.snapshot["places"]}
    old, new = _channel_keys(before), _channel_keys(after)
    lines = []
    for channel in shown_channels(after.snapshot):
        key = channel["channel"]
        if new[key] != old.get(key):
            name = names.get(channel["place"], clean(channel["place"]))
            words = f"{value_words(channel)}, {new[key][0]}"
            lines.append(f"place {name}: {kind_words(channel['kind'])} {words}")
    return lines


def _channel_keys(seen: Seen) -> dict[str, tuple[str, str]]:
    """What must differ for a line: the state's words and, for a contact, its value's."""
    if seen.snapshot is None:
        return {}
    raised = alarms_by_channel(seen.snapshot)
    return {
        channel["channel"]: (
            state_words(channel, raised.get(channel["channel"], ""), True),
            value_words(channel) if channel["kind"] in CONTACT_WORDS else "",
        )
        for channel in shown_channels(seen.snapshot)
    }


def _incidents(seen: Seen) -> list[str]:
    snapshot: dict[str, Any] = seen.snapshot or {"incidents": []}
    return [
        f"incident {incident_words(incident)}: {clean(incident['headline'])}"
        for incident in snapshot["incidents"]
    ]


def _buses(seen: Seen) -> list[str]:
    snapshot: dict[str, Any] = seen.snapshot or {"buses": []}
    return [
        f"bus {clean(bus['id'])} {'up' if bus['up'] else 'DOWN: ' + clean(bus['reason'])}"
        for bus in snapshot["buses"]
    ]


def _new(before: list[str], after: list[str]) -> list[str]:
    return [line for line in after if line not in before]


def _added(old: list[Any], new: list[Any]) -> list[Any]:
    """The tail of `new` that `old` does not have; both are windows over one growing list."""
    for start in range(len(old) + 1):
        kept = old[start:]
        if new[: len(kept)] == kept:
            return new[len(kept) :]
    return new


def _common(old: tuple[dict[str, Any], ...], new: tuple[dict[str, Any], ...]) -> list[Any]:
    """The head of `new` that `old` has already, by arrival (ages differ from look to look)."""
    seen = {message["n"] for message in old}
    return [message for message in new if message["n"] in seen]
