"""The world of the virtual devices: values and faults as functions of time, and what a wrong file is told."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.world import World, mismatches, parse, series_files
from models.problem import Problem

# The example of the contract, one key a line as TOML wants it.
CONTRACT = """
[[value]]
t_s = 0
sensor = "ngo-12-level"
kind = "depth_m"
value = 0.02
[[value]]
t_s = 20
sensor = "nut-5-12"
kind = "call_point"
value = 1
[[fault]]
t_s = 30
target = "khoi-5-12"
fault = "silent"
for_s = 60
"""


def world(text: str, series: dict[str, str] | None = None) -> World:
    parsed, problems = parse(tomllib.loads(text), series)
    assert problems == []
    assert parsed is not None
    return parsed


def value_rows(kind: str, *points: tuple[float, float]) -> str:
    return "".join(f'[[value]]\nt_s = {t}\nsensor = "s"\nkind = "{kind}"\nvalue = {v}\n' for t, v in points)


def problems_of(text: str, series: dict[str, str] | None = None) -> dict[str, Problem]:
    parsed, problems = parse(tomllib.loads(text), series)
    assert parsed is None
    assert all(p.what for p in problems)
    return {p.path: p for p in problems}


def test_the_example_of_the_contract_says_what_it_looks_like() -> None:
    example = world(CONTRACT)
    assert example.value("ngo-12-level", "depth_m", 1e6) == 0.02
    assert example.value("nut-5-12", "call_point", 20) == 1
    assert example.faults("khoi-5-12", 30) == {"silent"}


@pytest.mark.parametrize(
    ("kind", "t_s", "expected"),
    [
        ("depth_m", -1, 1.0),  # before the first row: its value
        ("depth_m", 10, 1.0),  # at a row
        ("depth_m", 15, 2.0),  # half way, linear
        ("depth_m", 19.9, 2.98),  # linear until the end
        ("depth_m", 20, 3.0),
        ("depth_m", 1e9, 3.0),  # after the last row: its value
    ],
)
def test_a_value_is_linear_between_rows_and_constant_outside(kind: str, t_s: float, expected: float) -> None:
    # Rows stand in the wrong order on purpose.
    assert world(value_rows(kind, (20, 3.0), (10, 1.0))).value("s", kind, t_s) == pytest.approx(expected)


def test_a_contact_steps_at_its_row_and_never_takes_a_value_between() -> None:
    steps = world(value_rows("call_point", (0, 0), (20, 1), (30, 0)))
    seen = [steps.value("s", "call_point", t) for t in (0, 19.999, 20, 29.999, 30, 99)]
    assert seen == [0, 0, 1, 1, 0, 0]


def test_two_rows_at_one_time_make_a_jump_and_the_later_row_counts_from_there() -> None:
    jump = world(value_rows("depth_m", (0, 0.0), (10, 0.0), (10, 5.0), (20, 5.0)))
    assert jump.value("s", "depth_m", 9.999) == pytest.approx(0.0)
    assert jump.value("s", "depth_m", 10) == 5.0


def test_a_channel_that_the_world_does_not_know_has_no_value() -> None:
    assert world(CONTRACT).value("ngo-12-level", "distance_m", 0) is None
    assert world("").value("s", "depth_m", 0) is None


@given(
    points=st.lists(
        st.tuples(st.integers(0, 50), st.floats(-1e3, 1e3)), min_size=1, max_size=8, unique_by=lambda p: p[0]
    ),
    t_s=st.floats(-10, 60),
)
def test_a_value_lies_between_its_neighbours_whatever_the_order_of_rows(
    points: list[tuple[int, float]], t_s: float
) -> None:
    value = world(value_rows("depth_m", *points)).value("s", "depth_m", t_s)
    before = [p for p in points if p[0] <= t_s] or [min(points)]
    after = [p for p in points if p[0] > t_s] or [max(points)]
    ends = sorted((max(before)[1], min(after)[1]))
    assert value is not None
    assert ends[0] - 1e-9 <= value <= ends[1] + 1e-9


def test_a_fault_holds_from_its_start_until_before_its_end() -> None:
    silent = world(CONTRACT)
    held = [bool(silent.faults("khoi-5-12", t)) for t in (29.999, 30, 89.999, 90)]
    assert held == [False, True, True, False]
    assert silent.faults("nut-5-12", 40) == frozenset()  # another sensor


def test_a_fault_without_end_lasts_and_several_hold_at_once() -> None:
    both = world(
        '[[fault]]\nt_s = 1\ntarget = "b"\nfault = "crc"\n'
        '[[fault]]\nt_s = 5\ntarget = "b"\nfault = "late"\nfor_s = 2'
    )
    assert both.faults("b", 1e9) == {"crc"}
    assert both.faults("b", 6) == {"crc", "late"}


def test_the_next_change_of_a_fault_is_its_next_start_or_end() -> None:
    plug = world(
        '[[fault]]\nt_s = 10\ntarget = "b"\nfault = "unplug"\nfor_s = 5\n'
        '[[fault]]\nt_s = 40\ntarget = "b"\nfault = "unplug"\n'
        '[[fault]]\nt_s = 12\ntarget = "b"\nfault = "crc"'
    )
    assert [plug.next_change_s("b", "unplug", t) for t in (0, 10, 15, 40)] == [10, 15, 40, None]


def test_a_hand_on_the_world_overrules_what_was_planned_from_then_on() -> None:
    planned = world(value_rows("depth_m", (0, 0.0), (100, 1.0)))
    changed = planned.set("s", "depth_m", 7.0, 50.0).fail("s", "silent", 10.0, 50.0)
    assert changed.value("s", "depth_m", 100) == 7.0
    assert [bool(changed.faults("s", t)) for t in (49, 50, 60)] == [False, True, False]
    assert planned.value("s", "depth_m", 100) == 1.0  # a world is a value
    assert len(changed.fail("s", "crc", 1.0, 1000.0).fault_list) == 1  # what is over is forgotten


SERIES_ROW = '[[value]]\nt_s = 5\nsensor = "s"\nkind = "depth_m"\nseries = "a.csv"\n'


@pytest.mark.parametrize(
    "text",
    [
        "t_s,value\n0,1.0\n10,2.0\n",  # played from the row's t_s
        "time,channel,value\n1000,s/depth_m,1.0\n1005,x/depth_m,9\n1010,s/depth_m,2.0\n",  # epoch seconds
        # RFC 3339, two zones
        "time,channel,value\n2026-11-23T02:14:00+07:00,s/depth_m,1\n2026-11-22T19:14:10Z,s/depth_m,2\n",
        "t_s,value\r\n0,1.0\r\n4,\r\n10,2.0\r\n",  # an empty value is no row; line ends of another system
    ],
)
def test_a_recorded_series_is_played(text: str) -> None:
    played = world(SERIES_ROW, {"a.csv": text})
    assert [played.value("s", "depth_m", t) for t in (0, 5, 10, 15)] == pytest.approx([1.0, 1.0, 1.5, 2.0])


def test_series_files_are_named_once_each() -> None:
    assert series_files(tomllib.loads(SERIES_ROW * 2 + CONTRACT)) == ("a.csv",)
    assert series_files({"value": 3}) == ()


@pytest.mark.parametrize(
    ("text", "path", "instead"),
    [
        ("[[valeu]]\nt_s = 1", "valeu", "value"),  # misspelt table
        ("value = 3", "value", "[[value]]"),  # not a list of tables
        (
            '[[value]]\nt_s = 0\nsensr = "s"\nkind = "depth_m"\nvalue = 1',
            "value[1].sensr",
            "sensor",
        ),  # misspelt key
        ('[[value]]\nsensor = "s"\nkind = "depth_m"\nvalue = 1', "value[1].t_s", ""),  # when?
        ('[[value]]\nt_s = 0\nsensor = "s"\nkind = "depth_m"', "value[1].value", ""),  # what?
        ('[[value]]\nt_s = 0\nsensor = "s"\nkind = "depth_m"\nvalue = nan', "value[1].value", ""),  # NaN
        ('[[value]]\nt_s = inf\nsensor = "s"\nkind = "depth_m"\nvalue = 1', "value[1].t_s", ""),  # never
        (
            '[[value]]\nt_s = 0\nsensor = "s"\nkind = "depth_m"\nvalue = true',
            "value[1].value",
            "",
        ),  # no number
        (
            '[[value]]\nt_s = 0\nsensor = "s"\nkind = "depth_cm"\nvalue = 1',
            "value[1].kind",
            "depth_m",
        ),  # unit
        (
            '[[value]]\nt_s = 0\nsensor = "s"\nkind = "vn_aqi"\nvalue = 1',
            "value[1].kind",
            "",
        ),  # computed by us
        ('[[value]]\nt_s = 0\nsensor = "s"\nkind = "call_point"\nvalue = 0.5', "value[1].value", "0 or 1"),
        ('[[fault]]\nt_s = 0\ntarget = "s"\nfault = "silnt"', "fault[1].fault", "silent"),
        (
            '[[fault]]\nt_s = 0\ntarget = "s"\nfault = "late"\nfor_s = 0',
            "fault[1].for_s",
            "",
        ),  # lasts no time
        ('[[fault]]\nt_s = 0\ntarget = "s"\nfault = "late"\nfor_s = -inf', "fault[1].for_s", ""),
        ('[[fault]]\nt_s = 0\nfault = "late"', "fault[1].target", ""),
        (SERIES_ROW, "value[1].series", ""),  # the file is not there
        (SERIES_ROW + "value = 1", "value[1]", "keep one"),  # value and series
    ],
)
def test_a_wrong_row_is_named_with_its_path_and_what_to_write(text: str, path: str, instead: str) -> None:
    problems = problems_of(text)
    assert path in problems
    assert instead in problems[path].instead


@pytest.mark.parametrize(
    "text",
    [
        "",  # empty
        "0,1.0\n",  # no header
        "t_s,value\n0,x\n",  # not a number
        "t_s,value\n0,nan\n",  # NaN is no recorded value
        "time,channel,value\n2026-11-23T02:14:00,s/depth_m,1\n",  # no zone
        "time,channel,value\n1000,other/depth_m,1\n",  # nothing of this channel
        "t_s,value\n0\n",  # a short row is a hole, and nothing else is there
    ],
)
def test_a_wrong_series_is_a_problem_of_its_row(text: str) -> None:
    assert set(problems_of(SERIES_ROW, {"a.csv": text})) == {"value[1].series"}


def test_all_problems_come_at_once() -> None:
    text = CONTRACT.replace("depth_m", "deth_m").replace("silent", "dead").replace("t_s = 20", "t_s = nan")
    assert set(problems_of(text)) == {"value[1].kind", "value[2].t_s", "fault[1].fault"}


def test_a_world_that_names_what_the_site_has_not_is_told() -> None:
    channels = {"ngo-12-level": ["depth_m"], "nut-5-12": ["smoke_contact"]}
    found = {p.path: p for p in mismatches(world(CONTRACT), channels, ["rs485-1"])}
    assert set(found) == {"value.nut-5-12/call_point", "fault.khoi-5-12"}
    assert found["value.nut-5-12/call_point"].instead == "one of: smoke_contact"
