"""The words of the log and the screen for what happened."""

import pytest

from edge import sayings
from models.alarm import AlarmEvent
from models.alarm_table import AlarmState, What
from models.incident import AlarmSpec
from models.reading import Hazard

FIRE = AlarmSpec("ngo-5-fire", Hazard.FIRE, "ngo-5")
FLOOD = AlarmSpec("ngo-12-flood", Hazard.FLOOD, "ngo-12")
SILENT = AlarmSpec("trouble/khoi-5-12/silent", Hazard.TROUBLE, "ngo-5-12")
BUS = AlarmSpec("trouble/rs485-1/bus_down", Hazard.TROUBLE, "ngo-5")


@pytest.mark.parametrize(
    ("spec", "what", "level", "words"),
    [
        (FIRE, What.RAISED, 1, "Ngõ 5: FIRE pre-alarm (ngo-5-fire)"),
        (FIRE, What.ROSE, 2, "Ngõ 5: FIRE confirmed (ngo-5-fire)"),
        (FIRE, What.RETURNED, 0, "Ngõ 5: fire signs are gone (ngo-5-fire)"),
        (FIRE, What.RESET, 0, "Ngõ 5: fire was reset (ngo-5-fire)"),
        (FLOOD, What.RAISED, 2, "Ngõ 5: flood level 2 (ngo-12-flood)"),
        (FLOOD, What.FELL, 1, "Ngõ 5: flood level 1 (fell) (ngo-12-flood)"),
        (SILENT, What.RAISED, 1, "Ngõ 5: sensor khoi-5-12 gives no believable value"),
        (SILENT, What.RETURNED, 0, "Ngõ 5: sensor khoi-5-12 is back"),
        (BUS, What.RAISED, 1, "Ngõ 5: bus rs485-1 is down"),
        # a delay that runs, a mask and an answer are no news of their own
        (FLOOD, What.PENDING, 0, None),
        (SILENT, What.MASKED, 1, None),
        (FIRE, What.ACKED, 2, None),
    ],
)
def test_a_change_is_said_in_words_with_its_place(
    spec: AlarmSpec, what: What, level: int, words: str | None
) -> None:
    event = AlarmEvent(what, spec.id, 5, AlarmState.NORMAL, AlarmState.UNACKED, level)
    assert sayings.of_alarm(event, spec, "Ngõ 5") == words


def test_a_refused_order_says_why() -> None:
    said = sayings.of_command("ack", "gw-1", "an", "wardwatch ack", "no incident gw-1 is open")
    assert said == "gw-1: ack by an (wardwatch ack) was refused: no incident gw-1 is open"
    assert sayings.of_command("ack", "gw-1", "an", "duty-hook", "") == "gw-1 acknowledged by an (duty-hook)"
