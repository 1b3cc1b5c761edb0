"""The slow, obvious twin of the judge: keeps the whole history and works everything out anew each time.

Shares the vocabulary (flags, kinds, rules, evidence) with `models.judge` and no line of its work.
Times are site ns.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise

from models.evidence import Contribution, Evidence
from models.fire import ContactRule
from models.flood import ThresholdRule
from models.quality import Channel
from models.reading import (
    BOUNDED,
    CONTACTS,
    EXCLUDED_BY_BOUND,
    Quality,
    QualityClass,
    quality_class,
)

SECOND = 10**9
Heard = tuple[int, float, Quality]


@dataclass
class NaiveJudge:
    channels: list[Channel]
    rules: list[ThresholdRule | ContactRule]
    start_ns: int
    history: dict[str, list[Heard]] = field(default_factory=dict)
    told: dict[str, object] = field(default_factory=dict)
    told_blind: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.now = self.start_ns
        self.by_name = {c.name: c for c in self.channels}
        self.history = {c.name: [] for c in self.channels}

    def judge(
        self, site_ns: int, reply: list[tuple[str, float, int]]
    ) -> tuple[list[tuple[str, float, int]], list[Evidence], list[tuple[str, bool]]]:
        """Samples with final flags (derived ones behind), changed evidence, sensors that came back."""
        self.now = max(self.now, site_ns)
        given, derived = self._flags_of_reply(reply), []
        for name, value, flags in given:
            final = self._remember(name, value, flags)
            for child in self.channels:
                if child.source == name:
                    derived.append(self._derive(child, value, final))
        final_given = [(name, value, flags) for name, value, flags in self._last(given)]
        heard = {name for name, *_ in final_given + derived}
        back = sorted(
            (s for s in self.told_blind if self._hears(s, heard) and not self._is_blind_sensor(s)),
            key=self._order,
        )
        self.told_blind -= set(back)
        return final_given + derived, self._changed(heard), [(s, False) for s in back]

    def tick(self, site_ns: int) -> tuple[list[Evidence], list[tuple[str, bool]]]:
        self.now = max(self.now, site_ns)
        sensors = sorted({c.sensor for c in self.channels} - self.told_blind, key=self._order)
        lost = [s for s in sensors if self._is_blind_sensor(s)]
        self.told_blind |= set(lost)
        return self._changed(set(self.by_name)), [(s, True) for s in lost]

    def evidence_of(self, rule: ThresholdRule | ContactRule) -> Evidence:
        if isinstance(rule, ThresholdRule):
            return self._limits(rule)
        return self._contacts(rule)

    def next_change(self) -> float:
        """When time alone next makes something stale, blind, or silent after its window; infinite = never."""
        times = []
        for channel in self.channels:
            last = self.now - self._silent(channel.name)
            times += [last + _stale(channel), last + channel.blind_ns]
        for rule in self.rules:
            for name in rule.channels if isinstance(rule, ContactRule) else ():
                active, _, fell = self._contact(name)
                times += [] if active or fell is None else [fell + rule.window_ns + 1]
        return min((t for t in times if t > self.now), default=math.inf)

    def view(self, name: str) -> tuple[float | None, int, int | None, int | None, bool, bool, bool, bool]:
        channel, heard, good = self.by_name[name], self.history[name], self._believed(name)
        stale, blind = self._silent(name) >= _stale(channel), self._silent(name) >= channel.blind_ns
        warm = bool(good) and self.now - self._warm_from(name) < channel.warmup_ns
        answers = [t for t, _, flags in heard if Quality.COMMS not in flags or quality_class(flags) != "bad"]
        flags = (heard[-1][2] if heard else Quality(0)) | (Quality.STALE if stale else 0)
        judged = bool(good) and not blind and (channel.kind in CONTACTS or Quality.WARMUP not in good[-1][2])
        return (
            good[-1][1] if good else None,
            int(flags),
            good[-1][0] if good else None,
            answers[-1] if answers else None,
            stale,
            blind,
            warm,
            judged,
        )

    # --- one reply

    def _flags_of_reply(self, reply: list[tuple[str, float, int]]) -> list[tuple[str, float, Quality]]:
        checked = [self._checked(name, value, Quality(flags)) for name, value, flags in reply]
        impossible = [
            self.by_name[name].kind in CONTACTS for name, _, flags in checked if Quality.RANGE in flags
        ]
        result = []
        for name, value, flags in checked:
            is_suspect = True in impossible or (impossible and self.by_name[name].kind not in CONTACTS)
            if is_suspect and Quality.RANGE not in flags:
                flags |= Quality.PAIR
            result.append((name, value, flags))
        return result

    def _checked(self, name: str, value: float, flags: Quality) -> tuple[str, float, Quality]:
        channel = self.by_name[name]
        if flags & BOUNDED:
            flags = Quality(sum(flag for flag in flags if flag not in EXCLUDED_BY_BOUND))
        if math.isnan(value):
            return name, value, flags if quality_class(flags) == "bad" else flags | Quality.SENTINEL
        if math.isinf(value):
            return name, math.nan, flags | Quality.RANGE
        possible = {0.0, 1.0} if channel.kind in CONTACTS else None
        if not channel.low <= value <= channel.high or (possible and value not in possible):
            flags |= Quality.RANGE
        return name, value, flags

    def _derive(self, child: Channel, distance_m: float, flags: Quality) -> tuple[str, float, int]:
        assert child.mount_height_m is not None
        names = {flag.name for flag in flags}
        swap = {"BOUND_LOW": "BOUND_HIGH", "BOUND_HIGH": "BOUND_LOW"}
        turned = Quality(sum(Quality[swap.get(str(name), str(name))] for name in names))
        is_made = not math.isnan(distance_m) and Quality.RANGE not in flags
        depth = round(child.mount_height_m - distance_m, 6) if is_made else math.nan
        _, value, checked = self._checked(child.name, depth, turned)
        return child.name, value, int(self._remember(child.name, value, checked))

    def _remember(self, name: str, value: float, flags: Quality) -> Quality:
        self.history[name].append((self.now, value, flags))
        if quality_class(flags) != QualityClass.BAD:
            if self.now - self._warm_from(name) < self.by_name[name].warmup_ns:
                flags |= Quality.WARMUP
            self.history[name][-1] = (self.now, value, flags)
        return flags

    def _last(self, given: list[tuple[str, float, Quality]]) -> list[tuple[str, float, int]]:
        return [(name, value, int(self.history[name][-1][2])) for name, value, _ in given]

    # --- what the history says

    def _believed(self, name: str) -> list[Heard]:
        return [heard for heard in self.history[name] if quality_class(heard[2]) != QualityClass.BAD]

    def _warm_from(self, name: str) -> int:
        channel, times = self.by_name[name], [t for t, *_ in self._believed(name)]
        gap = min(_stale(channel), channel.blind_ns)
        begins = [b for a, b in pairwise(times) if b - a >= gap]
        return begins[-1] if begins else times[0]

    def _silent(self, name: str) -> int:
        good = self._believed(name)
        return self.now - (good[-1][0] if good else self.start_ns)

    def _is_blind(self, name: str) -> bool:
        return self._silent(name) >= self.by_name[name].blind_ns

    def _is_blind_sensor(self, sensor: str) -> bool:
        return any(self._is_blind(c.name) for c in self.channels if c.sensor == sensor and c.source is None)

    def _hears(self, sensor: str, heard: set[str]) -> bool:
        return any(self.by_name[name].sensor == sensor for name in heard)

    def _order(self, sensor: str) -> int:
        return [c.sensor for c in self.channels].index(sensor)

    # --- rules

    def _changed(self, heard: set[str]) -> list[Evidence]:
        limits = [rule for rule in self.rules if isinstance(rule, ThresholdRule)]
        contacts = [rule for rule in self.rules if isinstance(rule, ContactRule)]
        changed = []
        for rule in (*limits, *contacts):
            names = {rule.channel} if isinstance(rule, ThresholdRule) else set(rule.channels)
            evidence = self.evidence_of(rule)
            key = evidence.judged, evidence.level, frozenset(c.channel for c in evidence.contributions)
            if names & heard and self.told.get(rule.id, (False, 0, frozenset())) != key:
                self.told[rule.id] = key
                changed.append(evidence)
        return changed

    def _limits(self, rule: ThresholdRule) -> Evidence:
        fed = [
            heard
            for heard in self._believed(rule.channel)
            if Quality.WARMUP not in heard[2] or self.by_name[rule.channel].kind in CONTACTS
        ]
        reached = [self._limit_since(rule, limit, fed) for limit in rule.levels]
        level = sum(since is not None for since in reached)
        judged = (
            bool(fed) and fed[-1] == self._believed(rule.channel)[-1] and not self._is_blind(rule.channel)
        )
        said: tuple[Contribution, ...] = ()
        if level:
            _, value, flags = fed[-1]
            bound = "at_least" if Quality.BOUND_HIGH in flags else "at_most" if flags & BOUNDED else None
            since = reached[level - 1]
            assert since is not None
            said = (Contribution(rule.channel, value, bound, rule.levels[level - 1], since, ""),)
        return Evidence(rule.id, self.now, judged, level, said)

    def _limit_since(self, rule: ThresholdRule, limit: float, fed: list[Heard]) -> int | None:
        """Since when one limit has been reached, looking at it alone."""
        since = None
        for t, value, flags in fed:
            low, high = (-math.inf if Quality.BOUND_LOW in flags else value), value
            high = math.inf if Quality.BOUND_HIGH in flags else high
            surely_reached = low >= limit if rule.above else high <= limit
            surely_left = high < limit - rule.deadband if rule.above else low > limit + rule.deadband
            if since is None and surely_reached:
                since = t
            elif since is not None and surely_left:
                since = None
        return since

    def _contact(self, name: str) -> tuple[bool, int | None, int | None]:
        """Active?, last rise, last fall."""
        states = [(self.start_ns, 0.0), *((t, value) for t, value, _ in self._believed(name))]
        steps = [(t, before, after) for (_, before), (t, after) in pairwise(states)]
        rises = [t for t, before, after in steps if before < after]
        falls = [t for t, before, after in steps if before > after]
        return states[-1][1] == 1.0, rises[-1] if rises else None, falls[-1] if falls else None

    def _contacts(self, rule: ContactRule) -> Evidence:
        certified = dict(zip(rule.channels, rule.certified, strict=True))
        state = {name: self._contact(name) for name in rule.channels}
        active = [name for name in rule.channels if state[name][0]]
        recent = [
            name
            for name in rule.channels
            if state[name][2] is not None and self.now - state[name][2] <= rule.window_ns
        ]
        speaking = [name for name in rule.channels if name in active or name in recent] if active else []
        level = 0
        if len(speaking) == 1:
            level = 2 if certified[speaking[0]] else 1
        elif len(speaking) == 2:
            level = 3 if any(certified[name] for name in speaking) else 2
        elif speaking:
            level = 3
        seeing = [name for name in rule.channels if self._believed(name) and not self._is_blind(name)]
        judged = len(seeing) == len(rule.channels) or any(name in seeing for name in active)
        first_up = sorted(speaking, key=lambda name: state[name][1])
        said = [
            Contribution(name, 1.0 if state[name][0] else 0.0, None, None, state[name][1], "")
            for name in first_up
        ]
        return Evidence(rule.id, self.now, judged, level, tuple(said))


def _stale(channel: Channel) -> int:
    return 3 * channel.period_ns + min(channel.period_ns // 4, SECOND)
