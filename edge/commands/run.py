"""`wardwatch run SITE.toml`: the agent."""

import asyncio
import fcntl
import logging
import os
import signal
import sys
from pathlib import Path
from typing import IO

import click

from edge import problems

log = logging.getLogger(__name__)

OURS = frozenset({"edge", "gateway", "drivers", "models"})


@click.command()
@click.argument("site", type=click.Path(path_type=Path))
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default="/var/lib/wardwatch",
    show_default=True,
    help="Folder for what must survive a restart.",
)
@click.option(
    "--virtual",
    "virtual_dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the ptys that `wardwatch virtual` made, for buses with port = virtual:NAME.",
)
@click.option("--verbose", is_flag=True, help="Log every step, not only what goes bad and what recovers.")
def command(site: Path, state: Path, virtual_dir: Path | None, verbose: bool) -> None:
    """Read the sensors of SITE, judge every reading, keep what matters, tell people.

    Runs until SIGTERM or Ctrl-C. What is only absent on this machine (a serial adapter, a credential, a server)
    does not stop it: that is trouble, and it is told.
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_ours)
    from edge import config as configuration

    config, found = configuration.load(site)
    problems.show(found, only_problems=config is not None)
    if config is None:
        sys.exit(2)
    lock = _lock(state)
    _numba_cache(state)
    from edge import build, service

    outside = build.outside(config, virtual_dir)

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await service.run(config, state, outside, stop=stop)

    has_wire = any(not bus.port.startswith("tcp:") for bus in config.site.bus)
    with asyncio.Runner(loop_factory=lambda: service.new_loop(has_wire)) as runner:
        runner.run(main())
    lock.close()


def _is_ours(record: logging.LogRecord) -> bool:
    """Of libraries only warnings: their other lines print URLs, headers and bodies, which hold secrets."""
    return record.levelno >= logging.WARNING or record.name.split(".")[0] in OURS


def _lock(state: Path) -> IO[str]:
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o750)
        lock = (state / "lock").open("w")
    except OSError as error:
        click.echo(
            f"cannot use the state folder {state}: {error.strerror}. Choose another with --state DIR.",
            err=True,
        )
        sys.exit(1)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        click.echo(
            f"another wardwatch runs on {state}: stop it, or choose another folder with --state DIR.",
            err=True,
        )
        sys.exit(1)
    return lock


def _numba_cache(state: Path) -> None:
    """Compiled kernels go beside the code; where that is read-only, into the state folder."""
    import models

    beside = Path(models.__file__).parent
    if "NUMBA_CACHE_DIR" not in os.environ and not os.access(beside, os.W_OK):
        os.environ["NUMBA_CACHE_DIR"] = str(state / "numba")
