"""What the gateway says about itself to the platform: its `gateway` line, and birth and will on MQTT."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edge import machine
from edge.clock import Clock
from edge.config import Config
from edge.spool_status import StoreStats
from gateway.series import Value


def gateway_row(stats: StoreStats, loads: dict[str, float], clock: Clock, state: Path) -> dict[str, Value]:
    """The fields of the line `gateway`."""
    return {
        "spool_points": sum(one.pending for one in stats.counts.values()),
        "bus_load": max(loads.values(), default=0.0),
        "clock_synced": clock.wall().synced,
        "disk_free_mb": machine.disk_free_mb(state),
        "temperature_c": machine.temperature_c(),
        "version": version("wardwatch"),
    }


def status_payload(state: str, config: Config, clock: Clock, since: str) -> bytes:
    """The MQTT message `status`: `online` tells who, since when and with which configuration."""
    words: dict[str, Any] = {"v": 1, "state": state, "boot": clock.boot[:4]}
    if state == "online":
        words |= {"config": config.fingerprint, "version": version("wardwatch"), "since": since}
    return json.dumps(words, separators=(",", ":")).encode()
