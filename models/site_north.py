"""Sinks, notifiers and authors of a site: addresses, credentials, commands.

Secrets never stand in a site file, so an address with one in it is refused, and no text of an address is
repeated in a problem.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from models import plain, site_fields
from models.problem import Problem
from models.site_rules import Row, Tables, ids_of, unknown

if TYPE_CHECKING:  # site.py calls us; only its names are needed here
    from models.site import Author, Notifier, Sink


def problems(tables: Tables) -> list[Problem]:
    """What is wrong with the servers, the ways to reach people, and who may command."""
    found = [problem for row in tables.sink for problem in _sink(row)]
    found += [problem for row in tables.notifier for problem in _notifier(row, tables)]
    found += _authors(tables)
    if not tables.notifier:
        what = "is missing: incidents are kept, but nobody is told"
        found.append(
            Problem("notifier", what, 'add [[notifier]] with id, kind = "webhook" and url', is_notice=True)
        )
    return found


def _sink(row: "Row[Sink]") -> Iterator[Problem]:
    sink, path = row.item, row.path
    schemes = {"mqtt": ("mqtt", "mqtts"), "influx": ("http", "https")}.get(sink.kind)
    if schemes is None:
        return
    for i, url in enumerate(sink.urls):
        fault = site_fields.sink_url_fault(url, schemes)
        if fault:
            yield Problem(f"{path}.urls[{i + 1}]", *fault)
    for key in ("org", "bucket"):
        if sink.kind == "influx" and key not in sink.model_fields_set:
            yield Problem(
                f"{path}.{key}", "is missing: InfluxDB files data under it", f'write {key} = "ward"'
            )
        if sink.kind == "mqtt" and key in sink.model_fields_set:
            yield Problem(f"{path}.{key}", "has no meaning for mqtt", f"remove {key}")


def _notifier(row: "Row[Notifier]", tables: Tables) -> Iterator[Problem]:
    notifier, path = row.item, row.path
    if not notifier.kind:
        return
    needs = {"webhook": "url", "apprise": "credential", "siren": "sensor", "sms": "port"}
    for key, kind in (("url", "webhook"), ("sensor", "siren"), ("port", "sms")):
        if notifier.kind != kind and key in notifier.model_fields_set:
            secret = key == "url" and notifier.kind == "apprise"
            why = "would show its token to every reader" if secret else f"has no meaning for {notifier.kind}"
            advice = "put it in the credential: url = ..." if secret else f"remove {key}"
            yield Problem(f"{path}.{key}", why, advice)
    if notifier.kind == "webhook":
        yield from _webhook(row)
    elif needs[notifier.kind] not in notifier.model_fields_set:
        key = needs[notifier.kind]
        example = {"credential": "duty-phone", "sensor": "siren-5", "port": "serial:/dev/serial/by-path/..."}[
            key
        ]
        yield Problem(f"{path}.{key}", f"is missing: {notifier.kind} needs it", f'write {key} = "{example}"')
    if notifier.sensor and notifier.sensor not in ids_of(tables.sensor):
        yield unknown(f"{path}.sensor", notifier.sensor, "sensor", ids_of(tables.sensor))
    if notifier.kind in ("siren", "sms"):
        yield Problem(
            path, f"{notifier.kind} comes with a later version: it tells nobody yet", "", is_notice=True
        )


def _webhook(row: "Row[Notifier]") -> Iterator[Problem]:
    notifier, path = row.item, row.path
    if notifier.url is not None:
        fault = site_fields.webhook_url_fault(notifier.url)
        if fault:
            yield Problem(f"{path}.url", *fault)
    elif "url" not in notifier.model_fields_set and "credential" not in notifier.model_fields_set:
        yield Problem(f"{path}.url", "is missing", 'write url = "https://...", or a credential that holds it')


def _authors(tables: Tables) -> list[Problem]:
    found = []
    first: dict[str, str] = {}
    for row in tables.author:
        found += list(_may(row))
        name = row.item.name
        if name and name in first:
            what = f"is used twice, first by {first[name]}"
            found.append(Problem(f"{row.at}.name", what, "give every author a name of its own"))
        first.setdefault(name, row.at)
    if tables.author and not any(row.item.kind == "mqtt" for row in tables.sink):
        what = "signs commands that no broker brings: this site has no mqtt sink"
        found.append(Problem("author", what, "", is_notice=True))
    return found


def _may(row: "Row[Author]") -> Iterator[Problem]:
    for i, command in enumerate(row.item.may):
        if command not in site_fields.COMMANDS:
            meant = plain.suggestion(command, site_fields.COMMANDS)
            advice = f'write "{meant}"' if meant else f"use some of: {', '.join(site_fields.COMMANDS)}"
            yield Problem(
                f"{row.path}.may[{i + 1}]", f"is {plain.shown(command)}, which is not a command", advice
            )
    if "may" in row.item.model_fields_set and not row.item.may and row.item.key:
        yield Problem(
            f"{row.path}.may", "is empty: this author may do nothing", "name commands, or remove the author"
        )
