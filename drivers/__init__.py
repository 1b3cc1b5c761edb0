"""How to talk to sensors (south): ports, lines, frames, device profiles, virtual devices.

Read in this order: `port` (byte streams), `line` (one question at a time on one wire), `modbus` (frames as
functions), `profile` (what a device file may say), `registers` (profile -> few requests -> samples), `virtual`
(devices that answer in the same bytes, for tests, demos and training). `devices/` holds the register maps.
"""
