"""The command `wardwatch`: a list of commands, each imported when it is used.

`wardwatch --help` must answer in 0.3 s on a small machine, so this file imports neither pydantic nor numpy:
it knows each command's module and one line of help. Exit codes of every command: 0 fine, 1 failed, 2
configuration or usage, 3 nothing found.
"""

import importlib
import sys
from typing import Final

import click

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("edge.commands.demo", "Show the whole path on this machine: virtual sensors, a fire, a phone."),
    "check": ("edge.commands.check", "Read a site file back: every mistake, and what the gateway will do."),
    "run": ("edge.commands.run", "Run the agent: read sensors, judge, keep, tell people."),
    "view": ("edge.commands.view", "Watch a running agent in the terminal."),
    "ack": ("edge.commands.ack", 'Say "I am going" to an incident: its repeats stop.'),
    "scan": ("edge.commands.scan", "Find what is on a bus: addresses, speeds, devices, lines for the site."),
    "probe": ("edge.commands.probe", "Show one sensor live: bytes, registers, values, what to look at."),
    "bench": ("edge.commands.bench", "Measure this machine, each figure beside a baseline."),
    "spool": ("edge.commands.spool", "Show what waits for the servers, and what they refused."),
    "virtual": ("edge.commands.virtual", "Play the sensors of a site on virtual serial ports."),
}


class _Commands(click.Group):
    """Commands by name, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0] if args else ""
        if word and not word.startswith("-") and word not in COMMANDS:
            ctx.fail(_unknown(word))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _unknown(word: str) -> str:
    import difflib

    meant = difflib.get_close_matches(word[:32], COMMANDS, n=1)
    if meant:
        return f"there is no command {word[:32]!r}. Did you mean `wardwatch {meant[0]}`?"
    if word.endswith(".toml"):
        return f"a command comes before the file: `wardwatch check {word}` or `wardwatch run {word}`"
    return f"there is no command {word[:32]!r}. Commands: {', '.join(COMMANDS)}"


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with `wardwatch demo`. Exit codes: 0 fine, 1 failed, 2 configuration or usage, "
    "3 nothing found.",
)
@click.version_option(package_name="wardwatch", message="wardwatch %(version)s")
def cli() -> None:
    """Reads flood, air and smoke sensors of a ward, judges them on the box, and tells people."""


def main() -> None:
    """Entry point. What a terminal cannot show is replaced, so that a Vietnamese name ends no command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    cli(prog_name="wardwatch")


if __name__ == "__main__":
    main()
