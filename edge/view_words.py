"""The words of the terminal view: what a value, a state or an incident is called; no colour is needed.

Plain functions on the parts of the agent's snapshot (deploy/docs/contracts.md). Two rules: nothing is ever
called just "normal" (a good reading is "OK, judged"; what was not judged says so), and what the agent did not
say is not guessed: a missing value is "no value", a silent agent makes every state "UNKNOWN".

All text from outside goes through `clean` first: a control character in a name could move the cursor.
"""

import unicodedata
from typing import Any, Final

KIND_WORDS: Final = {
    "distance_m": "distance", "depth_m": "water depth", "rain_mm": "rain count",
    "rain_rate_mm_h": "rain rate", "temperature_c": "temperature", "humidity_pct": "humidity",
    "smoke_db_m": "smoke", "smoke_contact": "smoke head", "heat_contact": "heat head",
    "call_point": "call point", "panel_fire": "fire panel", "panel_fault": "panel fault",
    "water_contact": "water", "door_contact": "door", "mains_ok": "mains", "battery_v": "battery",
    "vn_aqi": "VN_AQI", "relay": "relay",
}  # fmt: skip
# Contacts: what 0 and 1 mean, in the kind's own words.
CONTACT_WORDS: Final = {
    "smoke_contact": ("no smoke", "SMOKE"), "heat_contact": ("no heat", "HEAT"),
    "call_point": ("not pressed", "PRESSED"), "panel_fire": ("no fire", "FIRE"),
    "panel_fault": ("no fault", "FAULT"), "water_contact": ("dry", "WET"), "door_contact": ("shut", "OPEN"),
    "mains_ok": ("NO MAINS", "present"), "relay": ("off", "ON"),
}  # fmt: skip
# Why a value may not be believed, and what a person at the sensor would look at first.
FLAG_WORDS: Final = {
    "RANGE": "impossible value", "SENTINEL": "sensor says error", "NO_ECHO": "no echo, see angle",
    "STUCK": "stuck", "SPIKE": "spike", "NOISE": "noise burst", "DEAD": "dead signal",
    "PAIR": "contradicts itself", "COUNTER": "counter jumped", "STALE": "stale", "COMMS": "no answer",
    "OBSTRUCTED": "view obstructed", "HELD": "held back", "OPEN": "wire open", "SHORT": "wire short",
    "RATE": "fast change", "DRIFT": "drifting", "WARMUP": "warming up", "TIME": "clock not set",
    "CALIBRATING": "calibrating", "TEST": "test", "GAP": "gap", "SHIFT": "shifted", "QUIET": "too quiet",
}  # fmt: skip
INCIDENT_WORDS: Final = {
    "pre_alarm": "PRE-ALARM", "confirmed": "CONFIRMED", "under_control": "UNDER CONTROL",
    "cleared": "CLEARED", "closed": "CLOSED",
}  # fmt: skip
_DECIMALS: Final = {"m": 2, "°C": 1, "%": 0, "V": 2, "dB/m": 3, "m/s": 1, "hPa": 1}


def clean(text: object) -> str:
    """Text from outside as one printable line: NFC, line ends become spaces, control characters go."""
    composed = unicodedata.normalize("NFC", str(text)).replace("\r", "").replace("\n", " ").replace("\t", " ")
    return "".join(char for char in composed if unicodedata.category(char)[0] != "C")


def ascii_only(text: str) -> str:
    """The same for a terminal that cannot show Vietnamese: accents go, đ is d, lines are drawn with - and |.

    >>> ascii_only("Ngõ 12 Xuân Đỉnh ── 31 °C")
    'Ngo 12 Xuan Dinh -- 31 C'
    """
    plain = text.replace("…", "...").translate(str.maketrans("đĐ─│µ³·›", "dD-|u3->"))
    return unicodedata.normalize("NFD", plain).encode("ascii", "ignore").decode()


def kind_words(kind: str) -> str:
    """What a kind is called in one or two words."""
    return KIND_WORDS.get(kind, clean(kind).replace("_", " "))


def value_words(channel: dict[str, Any]) -> str:
    """A channel's value with its unit, or the contact's word; "at least" and "at most" for bounds."""
    value = channel["value"]
    if value is None:
        return "no value"
    if words := CONTACT_WORDS.get(channel["kind"]):
        return words[1] if value else words[0]
    unit = channel["unit"]
    decimals = _DECIMALS.get(unit)
    number = f"{value:.{decimals}f}" if decimals is not None else f"{value:.4g}"
    bound = {"at_least": "at least ", "at_most": "at most "}.get(channel.get("bound") or "", "")
    return f"{bound}{number} {clean(unit)}".rstrip()


def age_words(age_s: float | None) -> str:
    """How old, in at most 6 characters.

    >>> [age_words(a) for a in (None, 0.4, 75.0, 125.0, 7300.0, 200000.0)]
    ['never', '0 s', '75 s', '2 min', '2 h', '2 d']
    """
    if age_s is None:
        return "never"
    for limit, size, unit in ((100, 1, "s"), (6000, 60, "min"), (172_800, 3600, "h")):
        if age_s < limit:
            return f"{int(age_s / size)} {unit}"
    return f"{int(age_s / 86_400)} d"


def state_words(channel: dict[str, Any], alarm: str, is_up: bool) -> str:
    """A channel's state. `alarm`: what it raised ("FIRE"), or empty; `is_up`: the agent answers."""
    if not is_up:
        return "UNKNOWN, agent is down"
    state = channel["state"]
    # That it is stale is the state itself; why it is, the other flags say.
    flags = [FLAG_WORDS.get(flag, clean(flag)) for flag in channel["flags"] if flag != "STALE"]
    why = ", ".join(flags[:2])
    if state == "blind":
        words = f"BLIND: {why or 'nothing to judge'}"
    elif state == "stale":
        words = f"STALE: {why or 'no news'}"
    elif channel["class"] == "bad":
        words = why.upper() if why == "no answer" else f"BAD: {why}"
    elif state == "not_judged":
        words = "NOT JUDGED, warming up" if channel["value"] is not None else "NOT JUDGED, no value yet"
    elif channel["class"] == "bounded":
        words = "judged as a bound"
    elif channel["class"] == "noted":
        words = f"judged, but {why}"
    else:
        words = "OK, judged"
    if not alarm:
        return words
    return f"ALARM {alarm}" if is_fine(words) else f"ALARM {alarm}, {words.partition(':')[0]}"


def is_fine(words: str) -> bool:
    """Whether a channel's state needs nobody's eye."""
    return words == "OK, judged"


def shown_channels(snapshot: dict[str, Any]) -> list[dict[str, Any]]:
    """The channels without each raw distance that a depth is made of: one water, one line."""
    depths = {channel["sensor"] for channel in snapshot["channels"] if channel["kind"] == "depth_m"}
    return [c for c in snapshot["channels"] if c["kind"] != "distance_m" or c["sensor"] not in depths]


def alarms_by_channel(snapshot: dict[str, Any]) -> dict[str, str]:
    """For each channel that speaks for an open incident, in words what it raised."""
    raised: dict[str, str] = {}
    for incident in snapshot["incidents"]:
        if incident["state"] in ("cleared", "closed") or incident["hazard"] == "trouble":
            continue
        pre = "PRE-" if incident["state"] == "pre_alarm" else ""
        level = f" {incident['level']}" if incident["hazard"] != "fire" else ""
        for contribution in incident["evidence"]:
            raised.setdefault(contribution["channel"], f"{pre}{incident['hazard'].upper()}{level}")
    return raised


def answer_words(incident: dict[str, Any]) -> str:
    """Who is going; for a closed one, why it was closed."""
    if incident["state"] == "closed":
        return f"cause: {clean(incident.get('cause') or 'none given')}"
    acks = [f"{clean(ack['by'])} ({clean(ack['via'])})" for ack in incident["acks"]]
    return f"acked by {', '.join(acks[-2:])}" if acks else "NOBODY ANSWERED YET"


def incident_words(incident: dict[str, Any]) -> str:
    """An incident's number, what and since when, and who is going."""
    what = f"{incident['hazard'].upper()} {INCIDENT_WORDS.get(incident['state'], clean(incident['state']))}"
    level = f" level {incident['level']}" if incident["hazard"] in ("flood", "air") else ""
    drill = " DRILL" if incident.get("drill") else ""
    answer = answer_words(incident)
    return f"{clean(incident['id'])}  {what}{level}{drill}  since {time_of(incident['opened'])}  {answer}"


def time_of(stamp: str) -> str:
    """HH:MM:SS of an RFC 3339 time."""
    return clean(stamp)[11:19]


def bus_words(bus: dict[str, Any]) -> str:
    """One wire: up or down, how full, what went wrong."""
    state = "up" if bus["up"] else f"DOWN ({clean(bus['reason']) or 'no reason given'})"
    bad = [
        f"{bus[key]} {word}"
        for key, word in (("timeouts", "unanswered"), ("late", "late"), ("errors", "errors"))
    ]
    return f"{clean(bus['id'])} {state}, load {bus['load']:.0%}, {bus['exchanges']} asked, {', '.join(bad)}"


def notifier_words(notifier: dict[str, Any]) -> str:
    """One way to reach people: what it took, what waits, why it fails."""
    reason = f" ({clean(notifier['reason'])})" if notifier["reason"] else ""
    return (
        f"{clean(notifier['id'])}: {notifier['accepted']} accepted, {notifier['pending']} waiting, "
        f"{notifier['failed']} failed{reason}"
    )


def sink_words(sink: dict[str, Any]) -> str:
    """One server that gets data: what waits for it, and what is wrong with it."""
    wrong = (
        f", {clean(sink['fault']).upper().replace('_', ' ')} ({clean(sink['reason'])})"
        if sink["fault"]
        else ""
    )
    return f"{clean(sink['id'])}: {sink['pending']} points wait{wrong}"
