"""`wardwatch view`: what the agent on this machine sees now, for the person on the ladder."""

from pathlib import Path

import click

from edge import control


@click.command()
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default="/var/lib/wardwatch",
    show_default=True,
    help="State folder of the running agent.",
)
@click.option("--socket", type=click.Path(path_type=Path), help="The agent's control socket itself.")
@click.option("--plain", is_flag=True, help="One plain line per change instead of a picture.")
@click.option("--phone", type=click.Path(path_type=Path), hidden=True)
@click.option("--caption", type=click.Path(path_type=Path), hidden=True)
@click.option("--ready-fd", type=int, hidden=True)
def command(
    state: Path,
    socket: Path | None,
    plain: bool,
    phone: Path | None,
    caption: Path | None,
    ready_fd: int | None,
) -> None:
    """Show live values with age and state in words, open incidents, and what is wrong. Ctrl-C ends."""
    from edge.view_eyes import Sources
    from edge.view_loop import main

    main(Sources(socket or control.find(state), phone, caption), plain, ready_fd)
