"""The agent: the process that puts all parts together, its commands and its views.

Read in this order: `config` (the only reader of files), `build` (wires the parts), `service` (start, run, stop),
`poller` (one task a bus), `core` (batch in, alarms and incidents out). `commands/` holds one thin file a command;
`simulation/` runs the same service in virtual time.
"""
