"""The terminal view's picture: the agent's snapshot and the phone's messages become rows of text.

A pure function, `picture`, gives exactly the rows that fit; `edge/view_eyes.py` asks the agent,
`edge/view_loop.py` draws. The picture knows nothing but its arguments: no configuration, no simulation, no
clock. What it shows, the agent said.

How it keeps readable at 80x24: the two top rows (who, how it is) always stay; each section first gets the
rows it cannot do without, the rest is dealt out in order of importance; what is left out is counted in
words. Smaller terminals lose sections from the bottom and text from the right, never the top. Places that
need an eye come first.
"""

from dataclasses import dataclass
from textwrap import wrap
from typing import Any, Final

from rich.cells import set_cell_size
from rich.text import Text

from edge.view_words import (
    age_words,
    alarms_by_channel,
    answer_words,
    ascii_only,
    bus_words,
    clean,
    incident_words,
    is_fine,
    kind_words,
    notifier_words,
    shown_channels,
    sink_words,
    state_words,
    time_of,
    value_words,
)

Row = list[tuple[str, str]]  # (text, style) one after the other; a style only repeats what the words say
# Columns of the places, cells: name, what, value, age; the state takes what is left. Narrow terminals take
# from the name and the kind, down to the second row.
COLUMNS: Final = (19, 11, 15, 6)
COLUMNS_LEAST: Final = (12, 6, 9, 5)
FULL_WIDTH: Final = 80


@dataclass(frozen=True, slots=True)
class Seen:
    """All that one picture shows.

    Args:
        snapshot: the agent's last one, None before the first.
        down_s: how long the agent has not answered, 0.0 = it answers.
        away: why it does not.
        messages: the phone's messages, oldest first, each with `age_s`, `headline`, `text`, `trusted`.
        has_phone: whether there is a phone to show at all.
        caption: what a demonstration says it does; never a state.
    """

    snapshot: dict[str, Any] | None
    down_s: float = 0.0
    away: str = ""
    messages: tuple[dict[str, Any], ...] = ()
    has_phone: bool = False
    caption: str = ""


@dataclass(slots=True)
class _Section:
    """`least` rows come before all else, in the order of `rank`; `tight`: the rows when not all fit, of which
    the first `urgent` need an eye.
    """

    title: str
    rows: list[Row]
    least: int
    rank: int
    tight: list[Row] | None = None
    more: str = "more"
    urgent: int | None = None
    shown: int = 0


def picture(seen: Seen, width: int, height: int, is_ascii: bool = False) -> list[Text]:
    """At most `height` rows of at most `width` cells (any size from 1x1)."""
    top, sections, bottom = _top(seen), _sections(seen, width), _bottom(seen)
    _deal(sections, height - len(top) - len(bottom))
    rows = list(top)
    for section in sections:
        if section.shown:
            rows.append([(f"── {section.title} ".ljust(width, "─"), "bold")])
            rows += _cut(section)
    rows += [[] for _ in range(height - len(rows) - len(bottom))] + bottom
    return [_text(row, width, is_ascii) for row in rows[:height]]


def _text(row: Row, width: int, is_ascii: bool) -> Text:
    text = Text(no_wrap=True)
    for words, style in row:
        text.append(ascii_only(words) if is_ascii else words, style=style)
    text.truncate(width, overflow="crop" if is_ascii else "ellipsis")
    return text


def _deal(sections: list[_Section], left: int) -> None:
    """Give each section its number of rows (a shown one costs its title too)."""
    ranked = sorted(sections, key=lambda section: section.rank)
    for section in ranked:
        section.shown = max(0, min(len(section.rows), section.least, left - 1))
        left -= section.shown + 1 if section.shown else 0
    for section in ranked:
        if section.shown:
            if section.tight is not None and section.shown + left < len(section.rows):
                section.rows = section.tight
                left += max(0, section.shown - len(section.rows))
                section.shown = min(section.shown, len(section.rows))
            more = min(len(section.rows) - section.shown, left)
            section.shown += more
            left -= more


def _cut(section: _Section) -> list[Row]:
    hidden = len(section.rows) - section.shown
    if not hidden:
        return section.rows
    if section.shown == 1:
        return section.rows[:1]
    words = f"… {hidden + 1} {section.more}"
    if section.urgent is not None:
        unseen = max(0, section.urgent - (section.shown - 1))
        words += f", {unseen} of them need an eye" if unseen else ", all OK and judged"
    return [*section.rows[: section.shown - 1], [(words, "dim")]]


def _top(seen: Seen) -> list[Row]:
    snapshot = seen.snapshot
    if snapshot is None:
        waits = f"waiting for the agent{': ' + clean(seen.away) if seen.away else ''}"
        return [[(" wardwatch", "bold")], [(waits, "")]]
    clock = "clock synced" if snapshot["clock"] == "synced" else "CLOCK GUESSED"
    who = f" wardwatch  {clean(snapshot['ward_name'])}  {clean(snapshot['gateway'])}"
    title: Row = [(f"{who}   {time_of(snapshot['wall'])}  {clock}", "bold")]
    if seen.down_s > 0:
        down = f"AGENT DOWN for {age_words(seen.down_s)}, nothing is judged now ({clean(seen.away)})"
        return [title, [(down, "bold red reverse")]]
    reasons = "; ".join(clean(reason).rstrip(": ") for reason in snapshot["reasons"])
    state = {
        "ok": "equipment OK",
        "degraded": f"DEGRADED: {reasons}",
        "blind": f"BLIND: {reasons}",
    }.get(snapshot["state"], clean(snapshot["state"]))
    style = "" if snapshot["state"] == "ok" else "yellow"
    return [
        title,
        [(f"agent up {age_words(snapshot['uptime_s'])}, process {snapshot['pid']}: ", ""), (state, style)],
    ]


def _bottom(seen: Seen) -> list[Row]:
    rows: list[Row] = []
    if seen.snapshot is not None:
        for words in [bus_words(bus) for bus in seen.snapshot["buses"][:2]]:
            rows.append([(words, "" if ", 0 unanswered" in words else "yellow")])
        if seen.snapshot["notifiers"]:
            rows.append([(" | ".join(notifier_words(n) for n in seen.snapshot["notifiers"]), "")])
        if seen.snapshot["sinks"]:
            rows.append([(" | ".join(sink_words(s) for s in seen.snapshot["sinks"]), "")])
    if seen.caption:
        rows.append([(f"demo › {clean(seen.caption)}", "italic cyan")])
    return rows


def _sections(seen: Seen, width: int) -> list[_Section]:
    snapshot = seen.snapshot
    if snapshot is None:
        return []
    places, eye_first, urgent = _places(snapshot, seen.down_s, width)
    incidents, one_row_each = _incidents(snapshot, seen.down_s)
    open_ones = [i for i in snapshot["incidents"] if i["state"] != "closed"]
    title = "(last seen)" if seen.down_s else "(value, age, state)"
    sections = [
        _Section(f"PLACES {title}", places, 6, 2, eye_first, urgent=urgent),
        _Section(f"OPEN INCIDENTS: {len(open_ones) or 'none'}", incidents, 4, 1, one_row_each),
    ]
    if seen.has_phone:
        sections.append(_Section(_phone_title(seen), _phone(seen, width), 3, 3, more="more lines"))
    events = [[(f"{clean(e['at'])}  {clean(e['what'])}", "")] for e in reversed(snapshot["events"])]
    happened = events or [[("nothing yet", "dim")]]
    sections.append(_Section("WHAT HAPPENED, newest first", happened, 2, 4, more="earlier"))
    return sections


def _places(snapshot: dict[str, Any], down_s: float, width: int) -> tuple[list[Row], list[Row], int]:
    """Rows of the channels in the site's order, the same with those that need an eye first, how many do."""
    names = {place["id"]: clean(place["name"]) for place in snapshot["places"]}
    raised = alarms_by_channel(snapshot)
    rows: list[tuple[bool, Row]] = []
    sizes = _columns(width)
    for channel in shown_channels(snapshot):
        alarm = raised.get(channel["channel"], "")
        state = state_words(channel, alarm, down_s == 0)
        age_s = None if channel["age_s"] is None else channel["age_s"] + down_s
        cells = (
            names.get(channel["place"], clean(channel["place"])),
            kind_words(channel["kind"]),
            value_words(channel),
            age_words(age_s),
        )
        head = " ".join(set_cell_size(cell, size) for cell, size in zip(cells, sizes, strict=True))
        style = "bold red" if alarm else "" if is_fine(state) else "yellow"
        rows.append((is_fine(state), [(head + " ", ""), (state, style)]))
    ordered = sorted(rows, key=lambda row: row[0])
    return [row for _, row in rows], [row for _, row in ordered], sum(not fine for fine, _ in rows)


def _columns(width: int) -> list[int]:
    sizes = [COLUMNS[0] + max(0, width - FULL_WIDTH) // 2, *COLUMNS[1:]]
    lack = max(0, FULL_WIDTH - width)
    for i, least in enumerate(COLUMNS_LEAST):
        taken = min(lack, COLUMNS[i] - least)
        sizes[i] -= taken
        lack -= taken
    return sizes


def _incidents(snapshot: dict[str, Any], down_s: float) -> tuple[list[Row], list[Row]]:
    """Two rows for each incident, and one row for each; what waits for an answer first."""
    rows: list[Row] = []
    tight: list[Row] = []
    order = sorted(
        snapshot["incidents"], key=lambda i: (i["state"] == "closed", bool(i["acks"]), i["priority"])
    )
    for incident in order:
        style = "bold red" if incident["state"] in ("pre_alarm", "confirmed") else ""
        headline = clean(incident["headline"])
        rows += [[(incident_words(incident), style)], [("   " + headline, "")]]
        answer = answer_words(incident).removesuffix(" YET")
        tight.append([(f"{clean(incident['id'])} {answer}: ", style), (headline, "")])
    if not order:
        rules = [rule for rule in snapshot["alarms"] if rule["hazard"] != "trouble"]
        waiting = sum(not rule["judged"] for rule in rules)
        not_yet = f"{waiting} of them NOT JUDGED yet" if waiting else "all judged"
        rows.append([(f"{len(rules)} alarm rules watch{'' if down_s else ', ' + not_yet}", "")])
    return rows, tight or rows


def _phone_title(seen: Seen) -> str:
    if not seen.messages:
        return "THE PHONE: no message yet"
    last = seen.messages[-1]
    trust = "signature right" if last["trusted"] else "SIGNATURE WRONG, not believed"
    return f"THE PHONE, as the message arrived {age_words(last['age_s'])} ago, {trust}"


def _phone(seen: Seen, width: int) -> list[Row]:
    """The newest message in full, the headlines of those before it."""
    if not seen.messages:
        return [[("it rings when there is something to tell", "dim")]]
    *earlier, last = seen.messages
    text = [clean(line) for line in str(last["text"]).splitlines() if line and line != last["headline"]]
    rows: list[Row] = [[(clean(last["headline"]), "bold")]]
    rows += [[("   " + line, "")] for line in wrap(" | ".join(text), max(20, width - 4))]
    return rows + [[(f"before: {clean(message['headline'])}", "dim")] for message in reversed(earlier)]
