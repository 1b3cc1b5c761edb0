"""The page of contracts says what the code does: tables are read from the page and compared."""

import json
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from drivers.profile import parse as parse_profile
from edge import credentials
from models import reading, site
from models.reading import KINDS, Quality
from models.site_fields import COMMANDS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "deploy" / "docs" / "contracts.md").read_text("utf-8")


def section(title: str) -> str:
    """The text under a heading, up to the next heading of the same or a higher rank."""
    rank = title.index(" ")
    start = PAGE.index(f"\n{title}\n") + len(title) + 2
    kept: list[str] = []
    for line in PAGE[start:].split("\n"):
        is_code = sum(one.startswith("```") for one in kept) % 2
        if not is_code and re.match(rf"#{{1,{rank}}} ", line):
            break
        kept.append(line)
    return "\n".join(kept)


def tables(title: str) -> list[list[list[str]]]:
    """The tables of a section, without their heads, cells as text without code marks."""
    found: list[list[list[str]]] = [[]]
    for line in section(title).splitlines():
        if not line.startswith("|"):
            found.append([])
        elif not line.startswith("|---"):
            found[-1].append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    return [table[1:] for table in found if table]


def test_the_table_of_kinds_is_the_list_of_kinds() -> None:
    told = []
    for kind, unit, possible, source in tables("## Kinds")[0]:
        names = [f"raw_{i}" for i in range(16)] if kind == "raw_0 .. raw_15" else [kind]
        low, high = map(float, possible.split(" .. "))
        told += [(name, unit, low, high, source) for name in names]
    known = []
    for name, info in KINDS.items():
        source = "contact" if info.is_contact else "measured"
        if name in reading.FIRE_CONTACTS:
            source += ", fire"
        if name in reading.CERTIFIED_KINDS:
            source += ", certified"
        if name in reading.DERIVED_ONLY:
            source = "derived, not running yet"
        known.append((name, info.unit, info.low, info.high, source))
    assert told == known


def test_the_table_of_quality_is_the_set_of_flags() -> None:
    classes = {"bounded": reading.BOUNDED, "noted": reading.NOTED, "bad": reading.BAD}
    told = {name: (1 << int(bit), classes[word]) for bit, name, word, _ in tables("## Quality")[0]}
    assert list(told) == [flag.name for flag in Quality]
    for flag in Quality:
        assert flag.name is not None
        bit, of_class = told[flag.name]
        assert flag == bit
        assert flag & of_class
    excluded = section("## Quality").split("excludes", 1)[1].split(". A derived", 1)[0]
    assert {Quality[name] for name in re.findall(r"`([A-Z_]+)`", excluded)} == set(reading.EXCLUDED_BY_BOUND)


SINGLE: dict[str, type[BaseModel]] = {
    "[ward]": site.Ward,
    "[gateway]": site.Gateway,
    "[web]": site.Web,
    "[limits]": site.Limits,
}
REPEATED: dict[str, type[BaseModel]] = {
    "[[place]]": site.Place,
    "[[bus]]": site.Bus,
    "[[sensor]]": site.Sensor,
    "[[alarm]]": site.Alarm,
    "[[sink]]": site.Sink,
    "[[notifier]]": site.Notifier,
    "[[author]]": site.Author,
}


@pytest.mark.parametrize("header", [*SINGLE, *REPEATED])
def test_every_key_of_a_site_stands_on_the_page_with_its_default(header: str) -> None:
    model: type[BaseModel] = (SINGLE | REPEATED)[header]
    told = {key: default for key, default, _ in tables(f"### {header}")[0]}
    known = {}
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if field.is_required():
            shown = "required"
        elif default in (None, (), {}) or name == "calibration":
            shown = "none"
        else:
            shown = json.dumps(int(default) if isinstance(default, float) and default % 1 == 0 else default)
        known[field.alias or name] = shown
    assert told == known


def test_the_example_file_uses_no_key_that_the_page_does_not_have() -> None:
    example = tomllib.loads((ROOT / "deploy" / "site.example.toml").read_text("utf-8"))
    assert set(example) - {"schema"} == {header.strip("[]") for header in (SINGLE | REPEATED)}


def test_closed_lists_on_the_page_are_those_of_the_code() -> None:
    hazards = re.search(r"\*\*Hazards\*\*, a closed list: (.*)\.", PAGE)
    assert hazards is not None
    assert re.findall(r"`(\w+)`", hazards[1]) == [hazard.value for hazard in reading.Hazard]
    may = next(row for row in tables("### [[author]]")[0] if row[0] == "may")
    assert may[2].removeprefix("some of ").split(", ") == list(COMMANDS)
    assert {row[0] for row in tables("## Credentials")[0]} == credentials.KEYS
    kinds = get_args(site.Notifier.model_fields["kind"].annotation)
    assert all(f'"{kind}"' in section("### [[notifier]]") for kind in kinds)


def test_the_device_file_of_the_page_is_one() -> None:
    text = re.search(r"```toml\n(.*?)```", section("## Device files"), re.DOTALL)
    assert text is not None
    profile, problems = parse_profile("page", tomllib.loads(text[1]))
    assert (profile is not None, problems) == (True, [])


def test_the_json_and_toml_of_the_page_can_be_read() -> None:
    blocks = re.findall(r"```(json|toml)\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 5
    for language, text in blocks:
        (json.loads if language == "json" else tomllib.loads)(text)


def test_every_metric_stands_on_the_page_and_every_metric_of_the_table_exists() -> None:
    source = (ROOT / "edge" / "figures.py").read_text("utf-8")
    told = {row[0] for row in tables("## Health and metrics")[0]}
    made = re.findall(r'_(counter|gauge)\("([a-z_]+)"', source)
    assert {f"wardwatch_{name}{'_total' if kind == 'counter' else ''}" for kind, name in made} == told


def test_a_quality_bit_never_moves() -> None:
    # written down once; stored batches and retained messages carry these numbers
    bits = (ROOT / "tests" / "golden" / "quality.txt").read_text("utf-8").splitlines()
    assert bits == [f"{flag.value} {flag.name}" for flag in Quality]
