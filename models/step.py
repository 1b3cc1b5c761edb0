"""The compiled step: what one reply, or time alone, changes in the tables. One call each.

    judge_batch: check each sample -> PAIR -> take -> derive -> feed limits -> grade contacts -> what changed
    judge_tick:  blind sensors, rules whose channels went blind, contacts whose window ended

Everything is mutated in place; the caller reads `out` (samples with final flags) and `work` (who changed).
Cost: a batch costs its own channels and their rules, a tick costs all of them.
"""

from typing import Any, Final

import numpy as np

from models.derive import depth_flags, depth_m
from models.fire import CONTACT_RULE, MEMBER, judge_contacts
from models.flood import LIMIT, THRESHOLD, feed
from models.kernels import f8, i4, i8, i8s, jit, read_only, table, tuple_of, u4
from models.quality import CHANNEL, RANGE, checked_flags, is_blind, paired_flags, take
from models.reading import BAD, F8, I4, I8, U4

_BAD: Final = int(BAD)
# Site ns that never come.
FOREVER: Final = 2**62

# A sensor is blind when one of its measured channels is; `is_told`: the last thing said about it.
SENSOR: Final = np.dtype([("channels_at", "i8"), ("channels_end", "i8"), ("is_told", "i8")], align=True)
OUT: Final = np.dtype([("channel", "i8"), ("value", "f8"), ("quality", "i8")], align=True)
# Scratch: rules touched by this call; rules and sensors to tell about. Numbers: limits first, then contacts.
WORK: Final = np.dtype([("touched", "i8"), ("rule", "i8"), ("sensor", "i8")], align=True)


@jit(i8(table(CHANNEL), i8, i8))
def next_deadline(channels: Any, c: int, now_ns: int) -> int:
    """When silence alone next changes what channel `c` is; FOREVER when it is stale and blind already."""
    stale_at = channels[c]["believed_ns"] + channels[c]["stale_ns"]
    blind_at = channels[c]["believed_ns"] + channels[c]["blind_ns"]
    first = stale_at if stale_at > now_ns else FOREVER
    return int(min(first, blind_at) if blind_at > now_ns else first)


@jit(i8(table(CONTACT_RULE), table(MEMBER), table(CHANNEL), i8, i8))
def window_deadline(contact_rules: Any, members: Any, channels: Any, r: int, now_ns: int) -> int:
    """When the next contact of rule `r` stops speaking."""
    first = FOREVER
    for m in range(contact_rules[r]["members_at"], contact_rules[r]["members_end"]):
        channel = channels[members[m]["channel"]]
        ends_ns = channel["off_ns"] + contact_rules[r]["window_ns"] + 1
        if channel["off_ns"] >= 0 and not channel["is_active"] and ends_ns > now_ns:
            first = min(first, ends_ns)
    return int(first)


@jit(i8(table(THRESHOLD), table(CHANNEL), i8, i8))
def judge_threshold(thresholds: Any, channels: Any, r: int, now_ns: int) -> int:
    """1 when level or judged of rule `r` differ from what was told (told columns mutated)."""
    rule = thresholds[r]
    channel = channels[rule["channel"]]
    judged = 1 if channel["is_judged"] and not is_blind(channel, now_ns) else 0
    is_changed = judged != rule["told_judged"] or rule["level"] != rule["told_level"]
    rule["told_judged"], rule["told_level"] = judged, rule["level"]
    return 1 if is_changed else 0


@jit(i8(table(CHANNEL), i8s, table(THRESHOLD), table(LIMIT), table(CONTACT_RULE), table(WORK), i8, i8, i8))
def touch_rules(
    channels: Any,
    links: I8,
    thresholds: Any,
    limits: Any,
    contact_rules: Any,
    work: Any,
    n: int,
    c: int,
    now_ns: int,
) -> int:
    """Feed the limits of channel `c` with the sample just taken; note its rules in `work`; their count."""
    channel = channels[c]
    is_fed = channel["is_judged"] and not channel["quality"] & _BAD
    for link in range(channel["thresholds_at"], channel["thresholds_end"]):
        rule = thresholds[links[link]]
        if is_fed:
            feed(rule, limits, now_ns, channel["value"], channel["quality"])
        if not rule["is_touched"]:
            rule["is_touched"] = 1
            work[n]["touched"] = links[link]
            n += 1
    for link in range(channel["contact_rules_at"], channel["contact_rules_end"]):
        contact_rule = contact_rules[links[link]]
        if not contact_rule["is_touched"]:
            contact_rule["is_touched"] = 1
            work[n]["touched"] = thresholds.shape[0] + links[link]
            n += 1
    return n


@jit(i8(table(CHANNEL), i8s, table(SENSOR), i8, i8))
def blind_sensor(channels: Any, links: I8, sensors: Any, s: int, now_ns: int) -> int:
    """1 when one of the sensor's measured channels is blind."""
    for link in range(sensors[s]["channels_at"], sensors[s]["channels_end"]):
        if is_blind(channels[links[link]], now_ns):
            return 1
    return 0


@jit(i8(read_only(i4), read_only(f8), read_only(u4), table(CHANNEL), i8s, table(OUT)))
def check_batch(channel: I4, value: F8, quality: U4, channels: Any, links: I8, out: Any) -> int:
    """Checked samples and values of their derived ones into `out`; the count, or -1 for a foreign index."""
    n = n_contacts = n_others = 0
    for i in range(channel.shape[0]):
        c = int(channel[i])
        if c < 0 or c >= channels.shape[0]:
            return -1
        row = channels[c]
        flags = checked_flags(value[i], int(quality[i]), row["low"], row["high"], row["is_contact"])
        if flags & RANGE:
            n_contacts += row["is_contact"]
            n_others += 1 - row["is_contact"]
        out[n]["channel"] = c
        out[n]["value"] = np.nan if np.isinf(value[i]) else value[i]
        out[n]["quality"] = flags
        n += 1
    for i in range(channel.shape[0]):
        c = int(channel[i])
        flags = out[i]["quality"]
        out[i]["quality"] = paired_flags(flags, channels[c]["is_contact"], n_contacts, n_others)
        for link in range(channels[c]["derived_at"], channels[c]["derived_end"]):
            if n >= out.shape[0]:
                return -1
            out[n]["channel"] = links[link]
            # Of an impossible distance no depth is made: its flag says why there is none.
            is_made = not out[i]["quality"] & RANGE
            mount_height_m = channels[links[link]]["mount_height_m"]
            out[n]["value"] = depth_m(mount_height_m, out[i]["value"]) if is_made else np.nan
            n += 1
    return n


@jit(
    tuple_of(4)(
        i8, read_only(i4), read_only(f8), read_only(u4), table(CHANNEL), i8s, table(THRESHOLD),
        table(LIMIT), table(CONTACT_RULE), table(MEMBER), table(SENSOR), table(OUT), table(WORK),
    )
)  # fmt: skip
def judge_batch(
    now_ns: int, channel: I4, value: F8, quality: U4, channels: Any, links: I8, thresholds: Any,
    limits: Any, contact_rules: Any, members: Any, sensors: Any, out: Any, work: Any,
) -> tuple[int, int, int, int]:  # fmt: skip
    """All that one reply changes: counts of samples in `out`, of rules and sensors in `work`, next deadline.

    The first count is -1 for an index that is no channel or a reply with too many channels.
    """
    n_out = check_batch(channel, value, quality, channels, links, out)
    if n_out < 0:
        return n_out, 0, 0, now_ns
    n_touched = n_rules = n_sensors = 0
    next_ns = FOREVER
    n_given = channel.shape[0]
    at = n_given
    for i in range(n_given):
        c = out[i]["channel"]
        out[i]["quality"] = take(channels[c], now_ns, out[i]["value"], out[i]["quality"])
        n_touched = touch_rules(
            channels, links, thresholds, limits, contact_rules, work, n_touched, c, now_ns
        )
        next_ns = min(next_ns, next_deadline(channels, c, now_ns))
        for link in range(channels[c]["derived_at"], channels[c]["derived_end"]):
            d = links[link]
            flags = depth_flags(out[i]["quality"])
            flags = checked_flags(out[at]["value"], flags, channels[d]["low"], channels[d]["high"], 0)
            out[at]["quality"] = take(channels[d], now_ns, out[at]["value"], flags)
            n_touched = touch_rules(
                channels, links, thresholds, limits, contact_rules, work, n_touched, d, now_ns
            )
            next_ns = min(next_ns, next_deadline(channels, d, now_ns))
            at += 1
    for i in range(n_touched):
        r = work[i]["touched"]
        if r < thresholds.shape[0]:
            thresholds[r]["is_touched"] = 0
            is_changed = judge_threshold(thresholds, channels, r, now_ns)
        else:
            k = r - thresholds.shape[0]
            contact_rules[k]["is_touched"] = 0
            is_changed = judge_contacts(contact_rules[k], members, channels, now_ns)
            next_ns = min(next_ns, window_deadline(contact_rules, members, channels, k, now_ns))
        if is_changed:
            work[n_rules]["rule"] = r
            n_rules += 1
    for i in range(n_given):
        s = channels[out[i]["channel"]]["sensor"]
        if sensors[s]["is_told"] and not blind_sensor(channels, links, sensors, s, now_ns):
            sensors[s]["is_told"] = 0
            work[n_sensors]["sensor"] = s
            n_sensors += 1
    return n_out, n_rules, n_sensors, next_ns


@jit(
    tuple_of(3)(
        i8,
        table(CHANNEL),
        i8s,
        table(THRESHOLD),
        table(CONTACT_RULE),
        table(MEMBER),
        table(SENSOR),
        table(WORK),
    )
)
def judge_tick(
    now_ns: int,
    channels: Any,
    links: I8,
    thresholds: Any,
    contact_rules: Any,
    members: Any,
    sensors: Any,
    work: Any,
) -> tuple[int, int, int]:
    """All that time alone changes: counts of rules and newly blind sensors in `work`, next deadline."""
    n_rules = n_sensors = 0
    next_ns = FOREVER
    for c in range(channels.shape[0]):
        next_ns = min(next_ns, next_deadline(channels, c, now_ns))
    for r in range(thresholds.shape[0]):
        if judge_threshold(thresholds, channels, r, now_ns):
            work[n_rules]["rule"] = r
            n_rules += 1
    for k in range(contact_rules.shape[0]):
        if judge_contacts(contact_rules[k], members, channels, now_ns):
            work[n_rules]["rule"] = thresholds.shape[0] + k
            n_rules += 1
        next_ns = min(next_ns, window_deadline(contact_rules, members, channels, k, now_ns))
    for s in range(sensors.shape[0]):
        if not sensors[s]["is_told"] and blind_sensor(channels, links, sensors, s, now_ns):
            sensors[s]["is_told"] = 1
            work[n_sensors]["sensor"] = s
            n_sensors += 1
    return n_rules, n_sensors, next_ns
