"""The judge: state of all channels and rules; a batch or a tick goes in, Evidence comes out.

State is flat: tables of rows (quality.CHANNEL, flood.THRESHOLD and LIMIT, fire.CONTACT_RULE and MEMBER,
step.SENSOR) and one int64 array `links` with the index lists channel -> derived, channel -> rules, sensor ->
channels; each row says where its lists begin and end. The work is one compiled call (`models.step`); no
Python loop runs over channels, Python builds Evidence for changed rules only.

Order and time: a call with the time of an earlier call, or before it, counts at the latest time seen. A batch
may be split anywhere into batches of the same time without changing the final evidence, but for PAIR, which
is a property of one reply. Blindness is *told* by ticks and its end by batches; what is judged never depends
on when ticks came: a rule looks at the time whenever one of its channels is in a batch, and at each tick. At
the start every rule is "not judged, level 0", and that is not told.

Limits: batch and derived channels together <= 256; derived channels are made of measured ones (one step); an
index of a batch that is no channel is a programmer's error (assertion).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models import fire, flood
from models.evidence import Contribution, Evidence
from models.fire import CONTACT_RULE, MEMBER, ContactRule
from models.flood import LIMIT, THRESHOLD, ThresholdRule
from models.quality import CHANNEL, Channel
from models.reading import BATCH_CHANNELS_MAX, I8, KINDS, Batch, Quality, make_batch
from models.step import FOREVER, OUT, SENSOR, WORK, judge_batch, judge_tick

__all__ = ["Channel", "ChannelView", "ContactRule", "Judge", "Judgement", "ThresholdRule"]

Table = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one call found.

    `batch`: derived channels after the given ones, final flags (empty for a tick); `evidence`: rules whose
    judged, level or contributing set changed; `blind`: sensors that went blind (True) or came back (False).
    """

    batch: Batch
    evidence: tuple[Evidence, ...]
    blind: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class ChannelView:
    """One channel as of the last call. `value`: the last believable one, None = none yet.

    `quality`: flags of the last sample, and STALE when stale; times are site ns, None = never.
    """

    name: str
    value: float | None
    quality: int
    good_at_ns: int | None
    seen_at_ns: int | None
    is_stale: bool
    is_blind: bool
    is_warming: bool
    judged: bool


class Judge:
    """All channels and rules of a ward.

    >>> low, high = KINDS["call_point"].low, KINDS["call_point"].high
    >>> button = Channel("nut-5/call_point", "nut-5", "call_point", "ngo-5", 10**9, 30 * 10**9, 0, low, high)
    >>> judge = Judge([button], [ContactRule("ngo-5-fire", (button.name,), (True,))], start_ns=0)
    >>> [evidence] = judge.judge(make_batch(10**9, [0], [1.0], [0])).evidence
    >>> evidence.level, evidence.contributions[0].why
    (2, 'active')
    """

    def __init__(
        self, channels: Sequence[Channel], rules: Sequence[ThresholdRule | ContactRule], start_ns: int
    ) -> None:
        assert start_ns >= 0, "site time is never negative"
        self.index: Mapping[str, int] = {c.name: i for i, c in enumerate(channels)}
        assert len(self.index) == len(channels)
        assert len({rule.id for rule in rules}) == len(rules)
        self._channels_given = tuple(channels)
        self._limit_rules = tuple(rule for rule in rules if isinstance(rule, ThresholdRule))
        self._fire_rules = tuple(rule for rule in rules if isinstance(rule, ContactRule))
        ids = [*(rule.id for rule in self._limit_rules), *(rule.id for rule in self._fire_rules)]
        self._rule_number = {alarm_id: number for number, alarm_id in enumerate(ids)}
        self._sensor_ids = tuple(dict.fromkeys(c.sensor for c in channels))
        links: list[int] = []
        self._channels = _channel_table(channels, self.index, self._sensor_ids, start_ns)
        self._thresholds, self._limits = _threshold_tables(self._limit_rules, self.index)
        self._contact_rules, self._members = _contact_tables(self._fire_rules, self.index)
        assert self._channels["is_contact"][self._members["channel"]].all(), "a contact rule of no contacts"
        self._sensors = np.zeros(len(self._sensor_ids), SENSOR)
        derived = [(self.index[c.source], i) for i, c in enumerate(channels) if c.source is not None]
        _link(self._channels, "derived", derived, links)
        feeds = [(self.index[rule.channel], r) for r, rule in enumerate(self._limit_rules)]
        _link(self._channels, "thresholds", feeds, links)
        members = [(self.index[name], r) for r, rule in enumerate(self._fire_rules) for name in rule.channels]
        _link(self._channels, "contact_rules", members, links)
        sensor_number = {sensor: s for s, sensor in enumerate(self._sensor_ids)}
        measured = [(sensor_number[c.sensor], i) for i, c in enumerate(channels) if c.source is None]
        _link(self._sensors, "channels", measured, links)
        self._links: I8 = np.array(links, np.int64)
        self._out = np.zeros(BATCH_CHANNELS_MAX, OUT)
        self._work = np.zeros(max(1, len(rules), len(self._sensor_ids)), WORK)
        self._now_ns = start_ns
        *_, self._next_ns = judge_tick(start_ns, *self._tables(), self._work)

    def judge(self, batch: Batch) -> Judgement:
        """Judge one reply. One compiled call; arrays of the batch are contiguous (as `make_batch` gives)."""
        self._now_ns = max(self._now_ns, batch.site_ns)
        n, n_rules, n_sensors, next_ns = judge_batch(
            self._now_ns, batch.channel, batch.value, batch.quality, self._channels, self._links,
            self._thresholds, self._limits, self._contact_rules, self._members, self._sensors,
            self._out, self._work,
        )  # fmt: skip
        assert n >= 0, "a channel index that does not exist, or a reply with too many channels"
        self._next_ns = min(self._next_ns, next_ns)
        out = self._out[:n]
        judged = Batch(
            batch.site_ns,
            out["channel"].astype(np.int32),
            out["value"].copy(),
            out["quality"].astype(np.uint32),
        )
        return Judgement(judged, self._told_rules(n_rules), self._told_sensors(n_sensors, False))

    def tick(self, site_ns: int) -> Judgement:
        """Judge what time alone changes: silence that makes blind, windows that end."""
        self._now_ns = max(self._now_ns, site_ns)
        n_rules, n_sensors, self._next_ns = judge_tick(self._now_ns, *self._tables(), self._work)
        return Judgement(
            make_batch(site_ns, (), (), ()), self._told_rules(n_rules), self._told_sensors(n_sensors, True)
        )

    def next_tick_ns(self) -> int | None:
        """Site time at which time alone may next change something (stale, blind, window); None = never.

        It may come too early (samples have arrived meanwhile), never too late.
        """
        return None if self._next_ns >= FOREVER else self._next_ns

    def evidence_of(self, alarm_id: str) -> Evidence:
        """The rule's evidence as of the last call that looked at it."""
        return self._evidence(self._rule_number[alarm_id])

    def refreshed(self, one: Contribution) -> Contribution:
        """The same with its channel's newest believable value; contacts, and what we do not judge, stay."""
        i = self.index.get(one.channel)
        if i is None or one.limit is None or not self._channels[i]["is_known"]:
            return one
        value = float(self._channels[i]["value"])
        if value == one.value:
            return one
        bound = flood.bound_of(int(self._channels[i]["quality"]))
        unit = KINDS[self._channels_given[i].kind].unit
        why = f"{flood.said(value, bound, unit)} now, limit {flood.said(one.limit, None, unit)}"
        return replace(one, value=value, bound=bound, why=why)

    def view(self) -> list[ChannelView]:
        """All channels in the order given, as of the last call (tick first to see them as of now)."""
        rows = self._channels
        silent_ns = self._now_ns - rows["believed_ns"]
        is_stale, is_blind = silent_ns >= rows["stale_ns"], silent_ns >= rows["blind_ns"]
        is_known, has_answered = rows["is_known"] == 1, rows["answered_ns"] >= 0
        is_warming = is_known & (self._now_ns - rows["warm_from_ns"] < rows["warmup_ns"])
        columns = (
            _or_none(rows["value"], is_known),
            rows["quality"] | np.where(is_stale, int(Quality.STALE), 0),
            _or_none(rows["believed_ns"], is_known),
            _or_none(rows["answered_ns"], has_answered),
            is_stale,
            is_blind,
            is_warming,
            is_known & (rows["is_judged"] == 1) & ~is_blind,
        )
        return list(map(ChannelView, self.index, *(column.tolist() for column in columns)))

    def _tables(self) -> tuple[Table, I8, Table, Table, Table, Table]:
        return (
            self._channels,
            self._links,
            self._thresholds,
            self._contact_rules,
            self._members,
            self._sensors,
        )

    def _told_rules(self, n: int) -> tuple[Evidence, ...]:
        return tuple(map(self._evidence, sorted(self._work["rule"][:n].tolist()))) if n else ()

    def _told_sensors(self, n: int, is_blind: bool) -> tuple[tuple[str, bool], ...]:
        return (
            tuple((self._sensor_ids[s], is_blind) for s in sorted(self._work["sensor"][:n].tolist()))
            if n
            else ()
        )

    def _evidence(self, number: int) -> Evidence:
        k = number - len(self._limit_rules)
        state = self._thresholds[number] if k < 0 else self._contact_rules[k]
        say: Callable[[int], tuple[Contribution, ...]] = self._limit_says if k < 0 else self._contacts_say
        rule = self._limit_rules[number] if k < 0 else self._fire_rules[k]
        level = int(state["told_level"])
        speaks = say(number if k < 0 else k) if level else ()
        return Evidence(rule.id, self._now_ns, bool(state["told_judged"]), level, speaks)

    def _limit_says(self, r: int) -> tuple[Contribution, ...]:
        rule, state = self._limit_rules[r], self._thresholds[r]
        since_ns = int(self._limits[state["limits_at"] + state["level"] - 1]["since_ns"])
        unit = KINDS[self._channels_given[state["channel"]].kind].unit
        return flood.contributions(rule, state, since_ns, unit)

    def _contacts_say(self, k: int) -> tuple[Contribution, ...]:
        state = self._contact_rules[k]
        members = self._members[state["members_at"] : state["members_end"]]
        states = self._channels[members["channel"]]
        return fire.contributions(self._fire_rules[k], states, members["is_told"].tolist(), self._now_ns)


def _or_none(values: npt.NDArray[Any], is_there: npt.NDArray[np.bool_]) -> npt.NDArray[np.object_]:
    found = values.astype(object)
    found[~is_there] = None
    return found


def _channel_table(
    channels: Sequence[Channel], index: Mapping[str, int], sensors: Sequence[str], start_ns: int
) -> Table:
    rows = np.zeros(len(channels), CHANNEL)
    sensor_number = {sensor: s for s, sensor in enumerate(sensors)}
    for row, channel in zip(rows, channels, strict=True):
        assert min(channel.period_ns, channel.blind_ns) > 0 <= channel.warmup_ns
        if channel.source is not None:
            mother = channels[index[channel.source]]
            assert (mother.source, mother.kind, channel.kind) == (None, "distance_m", "depth_m")
            assert channel.mount_height_m is not None, f"{channel.name}: no mount height"
        row["mount_height_m"] = np.nan if channel.mount_height_m is None else channel.mount_height_m
        for column in ("low", "high", "is_contact", "stale_ns", "blind_ns", "warmup_ns"):
            row[column] = getattr(channel, column)
        row["sensor"] = sensor_number[channel.sensor]
    rows["value"], rows["believed_ns"] = np.nan, start_ns
    rows["answered_ns"] = rows["on_ns"] = rows["off_ns"] = -1
    return rows


def _threshold_tables(rules: Sequence[ThresholdRule], index: Mapping[str, int]) -> tuple[Table, Table]:
    rows = np.zeros(len(rules), THRESHOLD)
    limits = np.zeros(sum(len(rule.levels) for rule in rules), LIMIT)
    at = 0
    for row, rule in zip(rows, rules, strict=True):
        row["channel"], row["sign"], row["deadband"] = (
            index[rule.channel],
            1 if rule.above else -1,
            rule.deadband,
        )
        row["limits_at"], row["limits_end"] = at, at + len(rule.levels)
        limits["limit"][at : at + len(rule.levels)] = rule.levels
        at += len(rule.levels)
    rows["value"] = np.nan
    return rows, limits


def _contact_tables(rules: Sequence[ContactRule], index: Mapping[str, int]) -> tuple[Table, Table]:
    rows = np.zeros(len(rules), CONTACT_RULE)
    members: list[tuple[int, bool, int]] = []
    for row, rule in zip(rows, rules, strict=True):
        row["members_at"], row["members_end"] = len(members), len(members) + len(rule.channels)
        row["window_ns"] = rule.window_ns
        pairs = zip(rule.channels, rule.certified, strict=True)
        members.extend((index[name], certified, 0) for name, certified in pairs)
    return rows, np.array(members, MEMBER)


def _link(rows: Table, column: str, pairs: Sequence[tuple[int, int]], links: list[int]) -> None:
    """Write the lists row -> numbers behind `links` and their ranges into the rows."""
    of: dict[int, list[int]] = {}
    for owner, number in pairs:
        of.setdefault(owner, []).append(number)
    for owner in range(len(rows)):
        rows[f"{column}_at"][owner] = len(links)
        links.extend(of.get(owner, ()))
        rows[f"{column}_end"][owner] = len(links)
