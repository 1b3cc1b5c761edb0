"""The ISA-18.2 alarm states and the one table of transitions: state x signal -> event and next state.

States: NORMAL; PENDING (condition seen, on-delay running); UNACKED (raised, a person is asked); ACKED
(somebody goes); RETURNED_UNACKED (condition gone, nobody answered); LATCHED (gone and answered, but must be
reset). `models.alarm.advance` turns inputs and time into signals. What is not in the table changes nothing.

Limit: `LEVELS_MAX` levels; higher ones count as the highest.
Source: ISA-18.2 / IEC 62682 for the states; that a rise asks again is our choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

LEVELS_MAX: Final = 9
# Names of the deadlines by level, lowest first.
UPS: Final = ("on", *(f"rise-{n}" for n in range(2, LEVELS_MAX + 1)))
DOWNS: Final = ("off", *(f"fall-{n}" for n in range(2, LEVELS_MAX + 1)))


class AlarmState(StrEnum):
    """ISA-18.2 words."""

    NORMAL = "normal"
    PENDING = "pending"
    UNACKED = "unacked"
    ACKED = "acked"
    RETURNED_UNACKED = "returned_unacked"
    LATCHED = "latched"


class What(StrEnum):
    """What happened to an alarm; `lapsed`: the on-delay was broken off before it was full."""

    PENDING = "pending"
    LAPSED = "lapsed"
    RAISED = "raised"
    ROSE = "rose"
    FELL = "fell"
    RETURNED = "returned"
    ACKED = "acked"
    RESET = "reset"
    MASKED = "masked"
    UNMASKED = "unmasked"


class Signal(StrEnum):
    """What inputs and deadlines come down to: the columns of the table."""

    WAITS = "on-delay running"
    LAPSES = "on-delay broken off"
    HOLDS = "present for on_ns"
    RISES = "higher for on_ns"
    FALLS = "lower for off_ns"
    GONE = "absent for off_ns"
    GONE_SUPPRESSED = "absent for off_ns while suppressed"
    ACK = "acknowledged"
    RESET = "reset while not known to be present"


@dataclass(frozen=True, slots=True)
class Row:
    """Where a signal leads from a state, and where when the alarm is latched."""

    what: What
    to: AlarmState
    to_latched: AlarmState


def _row(what: What, to: AlarmState, to_latched: AlarmState | None = None) -> Row:
    return Row(what, to, to_latched or to)


_S = AlarmState
# An alarm that returns while suppressed by design asked nobody: it needs no answer.
TRANSITIONS: Final[Mapping[tuple[AlarmState, Signal], Row]] = MappingProxyType(
    {
        (_S.NORMAL, Signal.WAITS): _row(What.PENDING, _S.PENDING),
        (_S.NORMAL, Signal.HOLDS): _row(What.RAISED, _S.UNACKED),
        (_S.PENDING, Signal.LAPSES): _row(What.LAPSED, _S.NORMAL),
        (_S.PENDING, Signal.HOLDS): _row(What.RAISED, _S.UNACKED),
        (_S.UNACKED, Signal.RISES): _row(What.ROSE, _S.UNACKED),
        (_S.UNACKED, Signal.FALLS): _row(What.FELL, _S.UNACKED),
        (_S.UNACKED, Signal.GONE): _row(What.RETURNED, _S.RETURNED_UNACKED),
        (_S.UNACKED, Signal.GONE_SUPPRESSED): _row(What.RETURNED, _S.NORMAL, _S.RETURNED_UNACKED),
        (_S.UNACKED, Signal.ACK): _row(What.ACKED, _S.ACKED),
        (_S.UNACKED, Signal.RESET): _row(What.RESET, _S.NORMAL),
        (_S.ACKED, Signal.RISES): _row(What.ROSE, _S.UNACKED),
        (_S.ACKED, Signal.FALLS): _row(What.FELL, _S.ACKED),
        (_S.ACKED, Signal.GONE): _row(What.RETURNED, _S.NORMAL, _S.LATCHED),
        (_S.ACKED, Signal.GONE_SUPPRESSED): _row(What.RETURNED, _S.NORMAL, _S.LATCHED),
        (_S.ACKED, Signal.RESET): _row(What.RESET, _S.NORMAL),
        (_S.RETURNED_UNACKED, Signal.HOLDS): _row(What.RAISED, _S.UNACKED),
        (_S.RETURNED_UNACKED, Signal.ACK): _row(What.ACKED, _S.NORMAL, _S.LATCHED),
        (_S.RETURNED_UNACKED, Signal.RESET): _row(What.RESET, _S.NORMAL),
        (_S.LATCHED, Signal.HOLDS): _row(What.RAISED, _S.UNACKED),
        (_S.LATCHED, Signal.RESET): _row(What.RESET, _S.NORMAL),
    }
)
