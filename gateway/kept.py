"""What goes into the journal and what comes out of it: plain records, to speak of without a database."""

from dataclasses import dataclass

from gateway.notify import Notified
from models.alarm import Alarm
from models.incident import Incident


@dataclass(frozen=True, slots=True)
class KeptTime:
    """Site time over restarts: the base that is valid for `boot`, and the newest site time written."""

    boot: str
    base_ns: int
    site_ns: int


def newest(a: KeptTime | None, b: KeptTime | None) -> KeptTime | None:
    """The copy that knows more: site time never runs backwards, whichever file was lost."""
    if a is None or b is None:
        return a or b
    return a if a.site_ns >= b.site_ns else b


@dataclass(frozen=True, slots=True)
class UsedCommand:
    """A command that acted once and must not act again."""

    id: str
    by: str
    do: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Write:
    """What one transaction keeps. Rows may come again; an older revision changes nothing."""

    incidents: tuple[Incident, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    notified: tuple[Notified, ...] = ()
    commands: tuple[UsedCommand, ...] = ()
    time: KeptTime | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """What was there at open.

    `closed`: the newest ones, oldest first. `notified`: the newest send to each receiver, of open incidents
    and wherever it is still under way. `series` goes before the number in an id, empty unless numbers were
    lost. `unreadable`: rows that were left out, by table and id.
    """

    incidents: tuple[Incident, ...] = ()
    closed: tuple[Incident, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    notified: tuple[Notified, ...] = ()
    commands: frozenset[str] = frozenset()
    time: KeptTime | None = None
    series: str = ""
    unreadable: tuple[str, ...] = ()
