"""The words that people get: golden texts in both languages, headline rules, the incident JSON of the
contract.

Golden files: `tests/golden/message_NAME.txt` and `message_incident.json`. To write them anew on purpose:
`python -m tests.test_message`.
"""

import json
import unicodedata
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.message import SiteBook, WallTime, compose
from gateway.notify import Reason
from models.evidence import Contribution
from models.incident import Ack, Incident, IncidentState
from models.reading import Hazard
from models.site import Place

GOLDEN = Path(__file__).parent / "golden"
S = 1_000_000_000
OPENED = 1_000 * S
# 2026-11-23T02:14:07.312+07:00: the contract's own example.
WALL = WallTime(OPENED, 1_795_374_847_312_000_000, True, ZoneInfo("Asia/Ho_Chi_Minh"))
LATER = replace(WALL, site_ns=WALL.site_ns + 375 * S, wall_ns=WALL.wall_ns + 375 * S)


def place(**row: Any) -> Place:
    return Place.model_validate(row)


LANE = place(id="ngo-5", name="Ngõ 5 Xuân Đỉnh", kind="lane", lat=21.070, lon=105.790)
HOUSE = place(
    id="ngo-5-12",
    name="Ng. 5/12 Xuân Đỉnh",
    kind="house",
    floor="T3",
    address="số 12 ngõ 5 đường Xuân Đỉnh",
    access="ngõ 2,2 m, xe chữa cháy dừng ở số 3",
    contact="tổ trưởng, 09xx xxx xxx",
    lat=21.071,
    lon=105.791,
    **{"in": "ngo-5"},
)
NEIGHBOUR = place(id="ngo-5-14", name="Ng. 5/14 Xuân Đỉnh", kind="house", **{"in": "ngo-5"})
FLOODED = place(id="ngo-12", name="Ngõ 12 Xuân Đỉnh", kind="lane", lat=21.072, lon=105.792)
BOOK = SiteBook(
    "xuan-dinh",
    {one.id: one for one in (LANE, HOUSE, NEIGHBOUR, FLOODED)},
    {"khoi-5-12": "ngo-5-12", "nhiet-5-12": "ngo-5-12", "khoi-5-14": "ngo-5-14", "ngo-12-level": "ngo-12"},
    frozenset({"khoi-5-12"}),
)


def contact(channel: str, since_s: float = 0.0) -> Contribution:
    return Contribution(channel, 1.0, None, None, OPENED + round(since_s * S), "closed")


SMOKE, HEAT = contact("khoi-5-12/smoke_contact"), contact("nhiet-5-12/heat_contact", 40)
FIRE = Incident(
    "xd-gw-07-123",
    Hazard.FIRE,
    "ngo-5",
    IncidentState.CONFIRMED,
    1,
    2,
    2,
    OPENED,
    OPENED,
    ("ngo-5-fire",),
    (SMOKE, HEAT),
)
DEPTH = Contribution("ngo-12-level/depth_m", 0.323, None, 0.30, OPENED, "0.323 m")
FLOOD = Incident(
    "xd-gw-07-124",
    Hazard.FLOOD,
    "ngo-12",
    IncidentState.CONFIRMED,
    2,
    3,
    1,
    OPENED,
    OPENED,
    ("ngo-12-flood",),
    (DEPTH,),
)
AIR = replace(
    FLOOD,
    id="xd-gw-07-125",
    hazard=Hazard.AIR,
    level=2,
    evidence=(Contribution("pms-2/vn_aqi", 165.0, None, 151, OPENED, "165"),),
)


def trouble(alarm: str, where: str = "ngo-5") -> Incident:
    return replace(FLOOD, hazard=Hazard.TROUBLE, place=where, level=1, alarms=(alarm,), evidence=())


def over(one: Incident, state: IncidentState, **more: Any) -> Incident:
    return replace(one, state=state, revision=one.revision + 1, changed_ns=LATER.site_ns, **more)


CASES: dict[str, tuple[Incident, WallTime, Reason, str]] = {
    "fire": (FIRE, WALL, Reason.FIRST, "CHÁY 02:14 Ng.5/12 Xuân Đỉnh T3, khói+nhiệt. Gọi 114"),
    "fire_pre": (
        replace(FIRE, state=IncidentState.PRE_ALARM, level=1, evidence=(SMOKE,)),
        WALL,
        Reason.FIRST,
        "NGHI CHÁY 02:14 Ng.5/12 Xuân Đỉnh T3, khói. Gọi 114",
    ),
    "fire_two_houses": (
        replace(FIRE, evidence=(SMOKE, HEAT, contact("khoi-5-14/smoke_contact", 60))),
        LATER,
        Reason.MORE_EVIDENCE,
        "CHÁY 02:14 Ng.5/12 Xuân Đỉnh T3 +1 nhà, khói+nhiệt. Gọi 114",
    ),
    "fire_repeat": (
        FIRE,
        LATER,
        Reason.UNACKED_REPEAT,
        "NHẮC LẠI CHÁY 02:14 Ng.5/12 Xuân Đỉnh T3, khói+nhiệt. Gọi 114",
    ),
    "fire_guessed": (
        FIRE,
        replace(WALL, synced=False),
        Reason.FIRST,
        "CHÁY ~02:14 Ng.5/12 Xuân Đỉnh T3, khói+nhiệt. Gọi 114",
    ),
    "fire_drill": (
        replace(FIRE, drill=True),
        WALL,
        Reason.FIRST,
        "DIỄN TẬP CHÁY 02:14 Ng.5/12 Xuân Đỉnh T3, khói. Gọi 114 nếu cháy thật",
    ),
    "fire_acked": (
        replace(FIRE, acks=(Ack("Nguyễn Văn An", "webhook", 2, OPENED),)),
        LATER,
        Reason.ESCALATED,
        "CHÁY 02:14 Ng.5/12 Xuân Đỉnh T3, khói+nhiệt. Gọi 114",
    ),
    "fire_under_control": (
        over(FIRE, IncidentState.UNDER_CONTROL),
        LATER,
        Reason.UNDER_CONTROL,
        "ĐÃ KHỐNG CHẾ 02:20 Ng.5/12 Xuân Đỉnh T3. Nếu còn cháy: Gọi 114",
    ),
    "fire_cleared": (
        over(FIRE, IncidentState.CLEARED),
        LATER,
        Reason.CLEARED,
        "HẾT BÁO CHÁY 02:20 Ng.5/12 Xuân Đỉnh T3. Nếu còn cháy: Gọi 114",
    ),
    "fire_closed": (
        over(FIRE, IncidentState.CLOSED, closed_ns=LATER.site_ns, cause="cooking"),
        LATER,
        Reason.CLOSED,
        "ĐÓNG BÁO CHÁY 02:20 Ng.5/12 Xuân Đỉnh T3. Nếu còn cháy: Gọi 114",
    ),
    "flood": (FLOOD, WALL, Reason.FIRST, "NGẬP 02:14 Ngõ 12 Xuân Đỉnh, sâu 32 cm, mức 3 nguy hiểm"),
    "flood_bound": (
        replace(FLOOD, level=4, evidence=(replace(DEPTH, value=0.6, bound="at_least"),)),
        WALL,
        Reason.ESCALATED,
        "NGẬP 02:14 Ngõ 12 Xuân Đỉnh, sâu ≥60 cm, mức 4 khẩn cấp",
    ),
    "flood_forecast": (
        replace(FLOOD, state=IncidentState.PRE_ALARM),
        WALL,
        Reason.FIRST,
        "NGUY CƠ NGẬP 02:14 Ngõ 12 Xuân Đỉnh, sâu 32 cm, mức 3 nguy hiểm",
    ),
    "flood_cleared": (
        over(FLOOD, IncidentState.CLEARED),
        LATER,
        Reason.CLEARED,
        "HẾT NGẬP 02:20 Ngõ 12 Xuân Đỉnh",
    ),
    "air": (AIR, WALL, Reason.FIRST, "KHÔNG KHÍ Ô NHIỄM 02:14 Ngõ 12 Xuân Đỉnh, VN_AQI 165, mức 2"),
    "trouble_bus_down": (
        trouble("trouble/rs485-1/bus_down"),
        WALL,
        Reason.FIRST,
        "SỰ CỐ THIẾT BỊ 02:14 Ngõ 5 Xuân Đỉnh, mất đường dây rs485-1",
    ),
    "trouble_silent": (
        trouble("trouble/khoi-5-12/silent", "ngo-5-12"),
        WALL,
        Reason.FIRST,
        "SỰ CỐ THIẾT BỊ 02:14 Ng.5/12 Xuân Đỉnh T3, khoi-5-12 mất tín hiệu",
    ),
    "trouble_journal": (
        trouble("trouble/journal/unwritable"),
        WALL,
        Reason.FIRST,
        "SỰ CỐ THIẾT BỊ 02:14 Ngõ 5 Xuân Đỉnh, không ghi được sổ sự việc",
    ),
    "trouble_unknown": (
        trouble("trouble/siren-5/motor_stuck"),
        WALL,
        Reason.FIRST,
        "SỰ CỐ THIẾT BỊ 02:14 Ngõ 5 Xuân Đỉnh, siren-5: motor stuck",
    ),
    "trouble_cleared": (
        over(trouble("trouble/rs485-1/bus_down"), IncidentState.CLEARED),
        LATER,
        Reason.CLEARED,
        "HẾT SỰ CỐ THIẾT BỊ 02:20 Ngõ 5 Xuân Đỉnh, mất đường dây rs485-1",
    ),
}


def golden_text(name: str) -> str:
    one, wall, reason, _ = CASES[name]
    message = compose(one, BOOK, wall, reason, "vi")
    return f"{message.text}\n\n---\n\n{message.incident['text_en']}\n"


def contract_message() -> dict[str, Any]:
    """The incident of the contract's page: a smoke head, one answer, a repeat to come."""
    head = Contribution(
        "head-5-12/smoke_db_m", 0.17, None, 0.10, OPENED - 6 * S, "0.17 dB/m, usual 0.00..0.02"
    )
    one = replace(
        FIRE, place="ngo-5-12", revision=3, evidence=(head, HEAT), acks=(Ack("an", "webhook", 2, OPENED),)
    )
    return compose(one, BOOK, WALL, Reason.FIRST, "vi", OPENED + 180 * S).incident


@pytest.mark.parametrize("name", CASES)
def test_the_headline_is_the_one_that_was_agreed(name: str) -> None:
    one, wall, reason, wanted = CASES[name]
    message = compose(one, BOOK, wall, reason, "vi")
    assert message.headline == wanted
    assert message.text.splitlines()[0] == wanted


@pytest.mark.parametrize("name", CASES)
def test_the_texts_are_the_golden_ones(name: str) -> None:
    assert golden_text(name) == (GOLDEN / f"message_{name}.txt").read_text(encoding="utf-8")


def test_the_incident_json_is_the_contracts() -> None:
    row = contract_message()
    assert row == json.loads((GOLDEN / "message_incident.json").read_text(encoding="utf-8"))
    # Keys and their order as in deploy/docs/contracts.md, written out here by hand.
    assert " ".join(row) == (
        "v id revision hazard state priority level drill place headline text headline_en text_en reason ward opened "
        "clock changed closed cause evidence acks next"
    )
    assert " ".join(row["place"]) == "id name floor address access lat lon"
    assert row["evidence"][0] == {
        "channel": "head-5-12/smoke_db_m",
        "value": 0.17,
        "bound": None,
        "limit": 0.10,
        "since_s": 6.0,
        "why": "0.17 dB/m, usual 0.00..0.02",
    }
    assert row["opened"] == "2026-11-23T02:14:07.312+07:00"
    assert row["acks"] == [
        {"by": "an", "via": "webhook", "revision": 2, "at": "2026-11-23T02:14:07.312+07:00"}
    ]
    assert row["next"] == {"reason": "unacked_repeat", "at": "2026-11-23T02:17:07.312+07:00"}


@pytest.mark.parametrize("name", CASES)
def test_every_fire_says_114_and_nothing_claims_to_be_certified(name: str) -> None:
    one, wall, reason, _ = CASES[name]
    row = compose(one, BOOK, wall, reason, "vi").incident
    if one.hazard is Hazard.FIRE:
        assert "Gọi 114" in row["headline"]
        assert "call 114" in row["headline_en"].lower()
        assert "Gọi 114" in row["text"]
        assert "Gọi 114" in row["text_en"]
        assert "không thay thế thiết bị truyền tin báo cháy" in row["text"]
    for text in (row["text"], row["text_en"]):
        assert "chứng nhận" not in text
        assert "certified" not in text.lower()


@pytest.mark.parametrize("name", CASES)
def test_a_drill_is_marked_in_every_text_and_nothing_else_is(name: str) -> None:
    one, wall, reason, _ = CASES[name]
    for drill in (False, True):
        row = compose(replace(one, drill=drill), BOOK, wall, reason, "en").incident
        for key in ("headline", "text", "headline_en", "text_en"):
            assert ("DIỄN TẬP" in row[key]) == drill


LONG = "Ngõ 1234/56/78 đường Hoàng Quốc Việt dài"
HEADLINES = list(
    product(Hazard, IncidentState, (Reason.FIRST, Reason.UNACKED_REPEAT), (True, False), (True, False))
)


@pytest.mark.parametrize(("hazard", "state", "reason", "synced", "drill"), HEADLINES)
def test_the_longest_name_still_fits_with_time_and_114(
    hazard: Hazard, state: IncidentState, reason: Reason, synced: bool, drill: bool
) -> None:
    assert len(LONG) == 40
    spot = place(id="ngo-5-12", name=LONG, kind="house", floor="tầng 12, căn 1205")
    book = replace(BOOK, places={**BOOK.places, "ngo-5-12": spot})
    one = replace(FIRE, hazard=hazard, state=state, drill=drill, alarms=("trouble/khoi-5-12/silent",))
    row = compose(one, book, replace(WALL, synced=synced), reason, "vi").incident
    for key, call in (("headline", "Gọi 114"), ("headline_en", "all 114")):
        assert len(row[key]) <= 70, row[key]
        assert "02:14" in row[key]
        assert hazard is not Hazard.FIRE or call in row[key]
        assert LONG in row[key] or (drill and LONG[:20] in row[key])


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(max_examples=200)
@given(name=NAMES, floor=st.none() | NAMES, by=NAMES)
def test_any_name_gives_one_clean_line_and_composed_text(name: str, floor: str | None, by: str) -> None:
    spot = Place.model_construct(**{**HOUSE.__dict__, "name": name, "floor": floor})
    book = replace(BOOK, places={**BOOK.places, "ngo-5-12": spot})
    one = replace(FIRE, acks=(Ack(by, "webhook", 2, OPENED),))
    row = compose(one, book, WALL, Reason.FIRST, "vi").incident
    assert len(row["headline"]) <= 70
    for key in ("headline", "headline_en"):
        assert not any(unicodedata.category(c) == "Cc" for c in row[key])
    assert unicodedata.is_normalized("NFC", row["text"])
    assert len(row["text"].splitlines()) <= 40


def test_markup_in_a_name_stays_word_for_word() -> None:
    spot = place(id="ngo-5-12", name="Ng. 5/12 [T3] *mái* <b & _x_", kind="house")
    message = compose(FIRE, replace(BOOK, places={"ngo-5-12": spot}), WALL, Reason.FIRST, "vi")
    assert "Ng.5/12 [T3] *mái* <b & _x_" in message.headline


def test_an_address_cannot_be_turned_round_or_broken_by_invisible_characters() -> None:
    spot = Place.model_construct(**{**HOUSE.__dict__, "name": "Ng. 5\u202e/21\x1b[31m\nXuân"})
    message = compose(FIRE, replace(BOOK, places={"ngo-5-12": spot}), WALL, Reason.FIRST, "vi")
    assert message.headline.startswith("CHÁY 02:14 Ng.5/21[31mXuân T3")


@pytest.mark.parametrize(("synced", "clock"), [(True, "synced"), (False, "guessed")])
def test_the_json_says_whether_its_times_can_be_believed(synced: bool, clock: str) -> None:
    row = compose(FIRE, BOOK, replace(WALL, synced=synced), Reason.FIRST, "vi").incident
    assert row["clock"] == clock
    assert ("Giờ ước lượng" in row["text"]) == (not synced)
    assert row["opened"] == "2026-11-23T02:14:07.312+07:00"  # a guess, but a time


def test_many_signs_are_counted_not_listed() -> None:
    many = tuple(contact(f"khoi-{i}/smoke_contact") for i in range(40))
    message = compose(replace(FIRE, evidence=many), BOOK, WALL, Reason.FIRST, "vi")
    assert message.text.count("khói: đang báo") == 12
    assert "- và 28 dấu hiệu khác" in message.text


def test_the_language_chooses_the_text_that_is_told() -> None:
    message = compose(FIRE, BOOK, WALL, Reason.FIRST, "en")
    assert (
        message.headline
        == message.incident["headline_en"]
        == "FIRE 02:14 Ng.5/12 Xuân Đỉnh T3, smoke+heat. Call 114"
    )
    assert message.text == message.incident["text_en"]


if __name__ == "__main__":
    for case in CASES:
        (GOLDEN / f"message_{case}.txt").write_text(golden_text(case), encoding="utf-8")
    whole = json.dumps(contract_message(), ensure_ascii=False, indent=1) + "\n"
    (GOLDEN / "message_incident.json").write_text(whole, encoding="utf-8")
