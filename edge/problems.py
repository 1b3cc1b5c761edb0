"""How problems of a configuration are shown: grouped, with the place, what is wrong, what to write instead.

`check` prints all of them to standard output; `run` prints the same lines to standard error before it starts
or refuses. Plain text, ASCII signs, no colour needed: it is read on a phone over ssh, in a journal, in a C
locale.
"""

import textwrap
from collections.abc import Sequence
from typing import Final

import click

from models.problem import Problem

_WIDTH: Final = 100


def lines(problems: Sequence[Problem], title: str) -> list[str]:
    """A titled block, or nothing. Problems of one row stay together, in the order they were found."""
    if not problems:
        return []
    block = [title]
    for problem in _by_row(problems):
        block.append(f"  {problem.path}")
        block += _wrapped(problem.what, "      ", "      ")
        if problem.instead:
            block += _wrapped(problem.instead, "      -> ", "         ")
    return block


def _by_row(problems: Sequence[Problem]) -> list[Problem]:
    """All of a table together, in it all of a row (`sensor.id`, `sensor[2]`), as found."""
    tables: dict[str, dict[str, list[Problem]]] = {}
    for problem in problems:
        first = problem.path.split(".")[0]
        row = first if "[" in first else ".".join(problem.path.split(".")[:2])
        tables.setdefault(first.partition("[")[0], {}).setdefault(row, []).append(problem)
    return [problem for rows in tables.values() for row in rows.values() for problem in row]


def _wrapped(text: str, first: str, then: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=then,
        break_long_words=False,
        break_on_hyphens=False,
    )


def count(number: int, word: str) -> str:
    """`1 problem`, `2 problems`, `no problems`."""
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"


def show(found: Sequence[Problem], only_problems: bool = False, err: bool = True) -> None:
    """All problems, then notices, each once. `only_problems`: a good configuration starts quietly."""
    problems = list(dict.fromkeys(p for p in found if not p.is_notice))
    notices = [] if only_problems else list(dict.fromkeys(p for p in found if p.is_notice))
    blocks = [
        lines(problems, "PROBLEMS (the gateway does not start with these)"),
        lines(notices, "NOTICES (worth knowing; the gateway starts)"),
    ]
    for block in filter(None, blocks):
        click.echo("\n".join(block) + "\n", err=err)
