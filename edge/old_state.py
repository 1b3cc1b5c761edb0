"""What a new configuration does to the state that is there: named before it happens, by `check --state DIR`.

Everything kept is found by id, never by address or position: a sink whose address changed keeps its backlog; one that
is gone loses it, named with its size; a new one begins as its `from` says. An open incident whose alarm is gone, or
whose place moved, is closed with that reason at the start, and who was told is told. Changes nothing.
"""

from pathlib import Path
from typing import Any

from edge import control, plan
from edge.config import Config
from edge.recorder import FILE as JOURNAL
from edge.spool_status import StoreStats, look, status
from edge.store import FILE as SPOOL
from gateway.journal import JournalError, peek
from gateway.spool import SpoolError
from gateway.spool_file import open_spool
from models import incident as incidents
from models.problem import Problem


def notices(config: Config, state: Path) -> list[Problem]:
    """What would happen at the next start with this state, as notices."""
    return [*_sinks(config, state), *_incidents(config, state)]


def _incidents(config: Config, state: Path) -> list[Problem]:
    path = state / JOURNAL
    if not path.exists():
        return []
    try:
        restored = peek(path)
    except JournalError as error:
        return [Problem("state.incidents", f"cannot be read: {error}", "", is_notice=True)]
    wanted = plan.plan(config)
    alarms = {alarm.id: alarm for alarm in restored.alarms}
    found = []
    for one in restored.incidents:
        after = incidents.orphaned(one, alarms, wanted.specs, one.changed_ns)
        if after is None:
            continue
        if after.is_open:
            what = f"goes on without {', '.join(sorted(set(one.alarms) - set(after.alarms)))}"
        elif after.cause == incidents.CAUSE_PLACE_MOVED:
            what = "is open and will be closed: its alarm moved to another place"
        else:
            what = "is open and will be closed: its alarm is gone"
        found.append(Problem(f"state.incident.{one.id}", what, "", is_notice=True))
    return found


def _sinks(config: Config, state: Path) -> list[Problem]:
    kept = _kept(state)
    if kept is None:
        return []
    known = {one["id"]: one for one in kept["sinks"]}
    wanted = {sink.id: sink for sink in config.site.sink}
    found = []
    for name, one in known.items():
        if name not in wanted:
            what = (
                f"is no sink of this site any more: {one['pending']} points that wait for it will be dropped"
            )
            advice = (
                "keep the [[sink]] until `wardwatch spool` shows that nothing waits" if one["pending"] else ""
            )
            found.append(Problem(f"state.sink.{name}", what, advice, is_notice=True))
    for name, sink in wanted.items():
        if name not in known:
            begins = (
                "with the oldest points that are kept" if sink.start == "oldest" else "with what comes now"
            )
            found.append(Problem(f"sink.{name}", f"is new: it begins {begins}", "", is_notice=True))
        elif known[name]["pending"]:
            what = f"keeps its backlog: {known[name]['pending']} points wait"
            found.append(Problem(f"sink.{name}", what, "", is_notice=True))
    return found


def _kept(state: Path) -> dict[str, Any] | None:
    """The spool's status from the running agent, else from the file; None when there is none."""
    try:
        return control.ask(control.find(state), {"do": "spool"})
    except control.AgentAway:
        pass
    if not (state / SPOOL).exists():
        return None
    try:
        spool = open_spool(state / SPOOL, None).spool
    except SpoolError:
        return None
    stats = StoreStats()
    look(spool, stats)
    spool.close()
    return status(stats, 0)
