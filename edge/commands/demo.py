"""`wardwatch demo`: the whole path on this machine: virtual sensors, a fire, a phone, a kill."""

import os
import re
import sys

import click


class _Seconds(click.ParamType[float]):
    name = "60s"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|min|)", str(value))
        if match is None or float(match[1]) <= 0:
            self.fail(f"{value!r} is no time: write 60s or 2m", param, ctx)
        return float(match[1]) * (60.0 if match[2] in ("m", "min") else 1.0)


@click.command()
@click.option("--for", "for_s", type=_Seconds(), help="End by itself this long after the first picture.")
@click.option("--plain", is_flag=True, help="One plain line per change instead of a picture.")
@click.option("--ask-phone", is_flag=True, help="Ask for the apprise URL of a real phone (it is not shown).")
def command(for_s: float | None, plain: bool, ask_phone: bool) -> None:
    """Virtual sensors, the real agent, a phone and a live view: water, a fire, kill -9 in the middle.

    Nothing to install, no hardware. With WARDWATCH_PHONE set to an apprise URL (ntfy, Telegram, mail ..)
    the messages reach a real phone too, marked DIỄN TẬP (exercise). Ends with --for or Ctrl-C, and then
    says what was sent, received, doubled and lost; the exit code is 0 only when nothing was lost or
    doubled.
    """
    url = os.environ.get("WARDWATCH_PHONE") or None
    if ask_phone:
        url = click.prompt("apprise URL of your phone", hide_input=True, err=True).strip()
    from edge.demo.play import play

    sys.exit(play(for_s, plain, url))
