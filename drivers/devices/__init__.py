"""The library of devices: a file NAME.toml for each, and a small NAME.py for each way to frame reports on a UART."""
