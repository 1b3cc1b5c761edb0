"""What a receiver answered: accepted, rejected(reason), retry(after), partial(rejected n, reason)."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The four ways an attempt to send can end."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    RETRY = "retry"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended. `after_s`: the receiver's own wish (Retry-After); None leaves it to our backoff.

    `ack_by`: the receiver's answer said that this person acknowledges. `reason` never holds a secret.
    """

    verdict: Verdict
    reason: str = ""
    after_s: float | None = None
    rejected_n: int = 0
    ack_by: str | None = None
