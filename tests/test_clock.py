"""Site time never runs backwards: not over a kill, not over a reboot, not with a lying wall clock."""

import pytest

from edge.clock import SiteTime, SystemClock
from gateway.journal import KeptTime

S = 1_000_000_000


@pytest.mark.parametrize(
    ("saved", "steady_s", "expect_s"),
    [
        # the very first start: site time is the steady counter
        (None, 100, 100),
        # killed and started again in the same boot: the seconds in between count
        (KeptTime("boot-a", 500 * S, 600 * S), 130, 630),
        # another boot: goes on from the newest saved value, however short the new boot's counter is
        (KeptTime("boot-b", 500 * S, 600 * S), 5, 600),
        # another boot with a counter beyond the saved value needs no base
        (KeptTime("boot-b", 0, 60 * S), 500, 500),
        # a base that was saved wrongly low in the same boot still gives no step back
        (KeptTime("boot-a", 0, 600 * S), 130, 600),
    ],
)
def test_site_time_goes_on_from_what_was_saved(saved: KeptTime | None, steady_s: int, expect_s: int) -> None:
    site = SiteTime("boot-a")
    site.start(saved, steady_s * S)
    assert site.at(steady_s * S) == expect_s * S
    assert site.at(steady_s * S + 7) == expect_s * S + 7


def test_many_reboots_never_go_back() -> None:
    saved: KeptTime | None = None
    newest = 0
    for boot in range(20):
        site = SiteTime(f"boot-{boot}")
        site.start(saved, 3 * S)
        for steady in (3 * S, 4 * S, 9 * S):
            assert site.at(steady) >= newest
            newest = site.at(steady)
        saved = site.save(9 * S)


def test_the_machines_clock_reads_boot_and_wall() -> None:
    clock = SystemClock()
    clock.start(None)
    first = clock.site_ns()
    assert clock.site_ns() >= first
    assert len(clock.boot) == 32
    assert clock.wall().ns > 1_700_000_000 * S
    assert isinstance(clock.wall().synced, bool)
