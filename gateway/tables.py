"""The tables of the journal and the statements on them, as text. `gateway.journal` alone runs them.

Version 1. Add a column only with a new SCHEMA and a way from the old one; rows of JSON grow by keys with
defaults.
"""

from typing import Final

SCHEMA: Final = 1

TABLES: Final = """
CREATE TABLE incident(id TEXT PRIMARY KEY, revision INTEGER NOT NULL, is_open INTEGER NOT NULL,
    opened_ns INTEGER NOT NULL, changed_ns INTEGER NOT NULL, closed_ns INTEGER, json TEXT NOT NULL)
    WITHOUT ROWID;
CREATE INDEX incident_closed ON incident(is_open, closed_ns);
CREATE TABLE alarm(id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE notified(incident TEXT NOT NULL, revision INTEGER NOT NULL, "to" TEXT NOT NULL,
    send INTEGER NOT NULL, why TEXT NOT NULL, queued_ns INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    state_told TEXT NOT NULL, level_told INTEGER NOT NULL, channels_told TEXT NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL, reason TEXT NOT NULL, ack_by TEXT,
    PRIMARY KEY(incident, "to", revision, send)) WITHOUT ROWID;
CREATE TABLE ack(incident TEXT NOT NULL, "by" TEXT NOT NULL, via TEXT NOT NULL, revision INTEGER NOT NULL,
    at_ns INTEGER NOT NULL, PRIMARY KEY(incident, "by", via, revision, at_ns)) WITHOUT ROWID;
CREATE TABLE command(n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "by" TEXT NOT NULL, "do" TEXT NOT NULL,
    at_ns INTEGER NOT NULL);
CREATE TABLE meta(name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
"""
TABLE_NAMES: Final = frozenset({"incident", "alarm", "notified", "ack", "command", "meta"})
PUT_INCIDENT: Final = """INSERT INTO incident(id, revision, is_open, opened_ns, changed_ns, closed_ns, json)
    VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET revision=excluded.revision,
    is_open=excluded.is_open, changed_ns=excluded.changed_ns, closed_ns=excluded.closed_ns, json=excluded.json
    WHERE excluded.revision >= incident.revision"""
PUT_ACK: Final = "INSERT OR IGNORE INTO ack VALUES(?, ?, ?, ?, ?)"
PUT_ALARM: Final = "INSERT INTO alarm VALUES(?, ?) ON CONFLICT(id) DO UPDATE SET json=excluded.json"
PUT_NOTIFIED: Final = "INSERT OR REPLACE INTO notified VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
PUT_COMMAND: Final = 'INSERT OR IGNORE INTO command(id, "by", "do", at_ns) VALUES(?, ?, ?, ?)'
PUT_META: Final = "INSERT INTO meta VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value=excluded.value"
HAS_NEWER: Final = """EXISTS(SELECT 1 FROM notified AS newer WHERE newer.incident=notified.incident
    AND newer."to"=notified."to" AND (newer.revision, newer.send) > (notified.revision, notified.send))"""
OLD_CLOSED: Final = """SELECT id FROM incident WHERE is_open=0 AND (closed_ns < ? OR id IN
    (SELECT id FROM incident WHERE is_open=0 ORDER BY closed_ns DESC LIMIT -1 OFFSET ?))
    ORDER BY closed_ns LIMIT ?"""
LIVE_SENDS: Final = f"""SELECT * FROM notified WHERE NOT {HAS_NEWER} AND (state IN (?, ?)
    OR incident IN (SELECT id FROM incident WHERE is_open=1)) ORDER BY queued_ns"""
NEWEST_NS: Final = """SELECT max(coalesce((SELECT max(changed_ns) FROM incident), 0),
    coalesce((SELECT max(at_ns) FROM notified), 0))"""
