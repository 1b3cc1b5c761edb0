"""Stands for a notifier that cannot work on this machine yet: its credential is absent or cannot be used.

Sends wait under their keys and go out after the restart with the credential in place; nothing is dropped
unseen.
"""

from dataclasses import dataclass

from gateway.message import Message
from gateway.outcome import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Absent:
    """`reason` says what is missing and what to do."""

    id: str
    reason: str

    async def prepare(self) -> str:
        """Says what is missing."""
        return self.reason

    async def tell(self, message: Message, person: str | None, key: str) -> Outcome:
        """Never delivered; tried again."""
        return Outcome(Verdict.RETRY, self.reason)

    async def close(self) -> None:
        """Nothing is held."""
