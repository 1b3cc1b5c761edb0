"""What a receiver answered: accepted, rejected(reason), retry(after), partial(rejected n, reason)."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The four ways an attempt to send can end."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    RETRY = "retry"
    PARTIAL = "partial"


class Fault(StrEnum):
    """Whose fault it is that nothing gets through: what people are told of a server."""

    AWAY = "away"  # not reached, no answer, overloaded: heals by itself
    REFUSING = "refusing"  # it says no to us: a password, a right, a name
    FOREIGN = "foreign"  # something else answers
    TAKEN_OVER = "taken_over"  # another client uses our name


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended. `after_s`: the receiver's own wish (Retry-After); None leaves it to our backoff.

    `ack_by`: the receiver's answer said that this person acknowledges. `fault`: why RETRY, where it is known.
    `rejected_n` of PARTIAL: what was not taken; the rest was. `reason` never holds a secret.
    """

    verdict: Verdict
    reason: str = ""
    after_s: float | None = None
    rejected_n: int = 0
    ack_by: str | None = None
    fault: Fault | None = None
