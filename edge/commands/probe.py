"""`wardwatch probe SITE.toml SENSOR`: does this sensor really work? Bytes, registers, values, and what to look at."""

import asyncio
import logging
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # imported on use: `probe --help` stays quick
    from collections.abc import Callable

    from drivers.port import Port
    from drivers.registers import Device
    from edge.config import Config
    from models.site import Bus

_CLEAR = "\x1b[H\x1b[J"
_LOOK_S = 1.0
_READ_WITHIN_S = 15.0


@click.command()
@click.argument("site", type=click.Path(path_type=Path))
@click.argument("sensor")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default="/var/lib/wardwatch",
    show_default=True,
    help="State folder of the agent: while it runs, it is asked.",
)
@click.option("--once", is_flag=True, help="Until a value or a failure was seen, then end.")
@click.option(
    "--virtual", type=click.Path(path_type=Path, file_okay=False), help="Folder of `wardwatch virtual`."
)
def command(site: Path, sensor: str, state: Path, once: bool, virtual: Path | None) -> None:
    """Show SENSOR of SITE live: what is asked, the bytes that come, all registers, the values.

    While the agent runs it is asked, and nothing is disturbed; else the sensor's bus is opened. Only reads. Exit code
    1: no value was read.
    """
    from edge import config as configuration
    from edge import problems

    config, found = configuration.load(site)
    if config is None:
        problems.show(found, err=True)
        sys.exit(2)
    mine = [device for device in config.devices if any(one.id == sensor for one in device.sensors)]
    if not mine:
        _no_sensor(config, sensor)
    logging.disable()  # what happens is on the screen
    show = _Screen(once or not sys.stdout.isatty())

    async def main() -> None:
        if not await _of_agent(state, sensor, show):
            await _of_port(config, mine[0], sensor, virtual, show)

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        click.echo()
    sys.exit(0 if show.has_read else 1)


class _Screen:
    """Where the pictures go: over the last one on a terminal, one alone elsewhere."""

    def __init__(self, is_once: bool) -> None:
        self.is_once = is_once
        self.has_read = False
        self._looked_n = 0

    def show(self, found: dict[str, Any]) -> bool:
        """Show it; True: that was all."""
        from edge import probe

        is_read = any(row["values"] for row in found["asked"])
        self.has_read = self.has_read or is_read
        is_settled = is_read or any(row["bad"] for row in found["asked"]) or not found["up"]
        self._looked_n += 1
        if self.is_once and not is_settled and self._looked_n * _LOOK_S < _READ_WITHIN_S:
            return False
        text = "\n".join(probe.lines(found))
        click.echo(text if self.is_once else f"{_CLEAR}{text}\n\nCtrl-C ends")
        return self.is_once


def _no_sensor(config: "Config", sensor: str) -> None:
    from models import plain

    known = [one.id for one in config.site.sensor if one.bus]
    meant = plain.suggestion(sensor, known)
    click.echo(
        f"{config.path.name} has no sensor {sensor!r} on a bus. "
        + (f"Did you mean {meant}?" if meant else f"It has: {plain.one_of(known)}"),
        err=True,
    )
    sys.exit(2)


async def _of_agent(state: Path, sensor: str, screen: _Screen) -> bool:
    """False: no agent runs."""
    from edge import control

    path = control.find(state)
    while True:
        try:
            found = control.ask(path, {"do": "probe", "sensor": sensor})
        except control.AgentAway:
            return False
        if not found["ok"]:
            click.echo(f"the agent that runs on {state} has another site: {found['why']}", err=True)
            sys.exit(1)
        if screen.show(found):
            return True
        await asyncio.sleep(_LOOK_S)


async def _of_port(
    config: "Config", device: "Device", sensor: str, virtual: Path | None, screen: _Screen
) -> None:
    """Read it ourselves: the production poller on this one device."""
    from edge import build, probe
    from edge.clock import SystemClock
    from edge.poller import Poller

    bus = next(one for one in config.site.bus if one.id == device.bus)
    opener: Callable[[Bus], Port] = build.port_opener(virtual)
    poller = Poller(
        bus,
        [device],
        open_port=opener,
        channel_index={point.name: i for i, point in enumerate(device.channels)},
        life_safety=frozenset(),
        clock=SystemClock(),
        rng=random.Random(),
        handle=lambda batch: None,
        bus_is=lambda is_up, reason: None,
    )
    task = asyncio.create_task(poller.run())
    try:
        while True:
            await asyncio.sleep(_LOOK_S)
            if task.done():
                task.result()
            if screen.show(probe.answer([poller], sensor, asyncio.get_running_loop().time())):
                return
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
