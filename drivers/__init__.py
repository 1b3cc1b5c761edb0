"""How to talk to sensors (south): ports, lines, frames, device profiles, virtual devices.

Read in this order: `port` (byte streams; `tcp`: by network), `line` (one question at a time on one wire), `modbus`
(frames as functions), `tcp_line` with `mbap` (questions over Modbus TCP), `profile` with `device_file` (what a device
file may say), `registers` with `coding` (profile -> requests -> samples), `virtual` (devices that answer in the same
bytes, for tests, demos and training; on `pty`, after a `world`, with `faults`, set on a `stage`, told in
`virtual_events`). `devices/` holds the register maps.
"""
