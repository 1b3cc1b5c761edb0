"""The agent: the process that puts all parts together, its commands and its views.

Read in this order: `config` (the only reader of files), `plan` (what it means for the core), `build` (wires the
parts), `service` (start, run, stop), `poller` (one task a bus, by `schedule`), `core` (batch in, alarms and incidents
out). Then the two ways out: `dispatch` with `recorder` (journal, people), `uplink` with `store` (live values, topics,
history; `readings`, `history`, `live`, `topics`, `beats` make them, `sink_watch` tells what is wrong). `status`,
`figures`, `web` and `control` show it; `commands/` holds one thin file a command; `simulation/` runs the same service
in virtual time.
"""
