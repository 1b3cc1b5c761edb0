"""Line protocol: equal to the library's own Point, and what a line must never do."""

import math
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from influxdb_client import Point, WritePrecision

from gateway.lineproto import lines
from gateway.series import Series, Value

MS = 1_000_000
LEVEL = Series("reading", (("sensor", "ngo-12-level"), ("ward", "xuan-dinh")), ("depth_m", "quality"))
WORDS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=8).filter(
    lambda s: s.strip() and "\\" not in s
)
VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1), st.booleans(), WORDS
)


def test_a_reading_is_one_line_with_the_types_of_its_values() -> None:
    assert lines({LEVEL: [(1_763_925_247_312 * MS, (0.214, 0))]}, 0) == [
        "reading,sensor=ngo-12-level,ward=xuan-dinh depth_m=0.214,quality=0i 1763925247312"
    ]
    state = Series("alarm", (), ("state", "level", "is_drill", "incident"))
    assert lines({state: [(5 * MS, ('un"acked\\', 2, False, None))]}, 0) == [
        'alarm state="un\\"acked\\\\",level=2i,is_drill=false 5'
    ]


def test_what_has_no_value_is_left_out() -> None:
    assert lines({LEVEL: [(0, (math.nan, 5)), (MS, (math.nan, None))]}, 0) == [
        "reading,sensor=ngo-12-level,ward=xuan-dinh quality=5i 0"
    ]


def test_of_one_millisecond_the_last_state_counts_field_by_field() -> None:
    bad = Series("reading", LEVEL.tags, ("depth_m_bad", "quality"))
    rows: dict[Series, list[tuple[int, tuple[Value, ...]]]] = {
        LEVEL: [(0, (0.1, 0)), (10, (0.2, 0))],
        bad: [(20, (9.9, 1))],
    }
    assert lines(rows, 0) == [
        "reading,sensor=ngo-12-level,ward=xuan-dinh depth_m=0.2,quality=1i,depth_m_bad=9.9 0"
    ]


def test_lines_are_in_the_order_of_time_and_the_offset_moves_them() -> None:
    other = Series("reading", (("sensor", "b"),), ("depth_m",))
    got = lines({LEVEL: [(3 * MS, (0.3, 0)), (9 * MS, (0.9, 0))], other: [(1 * MS, (0.1,))]}, 100 * MS)
    assert [line.rsplit(" ", 1)[1] for line in got] == ["101", "103", "109"]


@given(
    WORDS, st.dictionaries(WORDS, WORDS, max_size=3), st.dictionaries(WORDS, VALUES, min_size=1, max_size=4)
)
def test_a_line_says_what_the_library_would_say(
    name: str, tags: dict[str, str], fields: dict[str, Any]
) -> None:
    series = Series(name, tuple(sorted(tags.items())), tuple(sorted(fields)))
    row = tuple(fields[field] for field in series.fields)
    theirs = Point(name).time(7, WritePrecision.MS)
    for key, value in tags.items():
        theirs.tag(key, value)
    for key, value in fields.items():
        theirs.field(key, value)
    [ours] = lines({series: [(7 * MS, row)]}, 0)
    # the library writes floats in a shorter form of its own (1e+16, 5.0 as 5): same numbers
    number = re.compile(r"(?<==)-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?=[, ])")

    def same(line: str) -> str:
        return number.sub(lambda found: repr(float(found.group())), line)

    assert same(ours) == same(theirs.to_line_protocol())


@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
def test_no_text_breaks_out_of_its_line(tag: str, field: str, text: str) -> None:
    series = Series("m", (("t", tag or "x"),), (field or "f", "n"))
    got = lines({series: [(0, (text, 1))]}, 0)
    assert len(got) == 1
    assert got[0].endswith(",n=1i 0")
