"""Incident numbers: durable blocks first, this start's own series when there is none, never one twice."""

from edge.numbers import Numbers

S = 1_000_000_000


def test_numbers_come_from_the_block_and_then_from_the_own_series() -> None:
    numbers = Numbers("gw")
    numbers.start("b41c" + "0" * 28, 0x0E2A * S)
    numbers.add(17, 2)
    assert [numbers.next() for _ in range(4)] == ["gw-17", "gw-18", "gw-xb41c0e2a-1", "gw-xb41c0e2a-2"]


def test_two_starts_of_one_boot_without_a_disk_have_different_series() -> None:
    ids = []
    for second in (100, 102):
        numbers = Numbers("gw")
        numbers.start("b41c" + "0" * 28, second * S)
        ids.append(numbers.next())
    assert len(set(ids)) == 2


def test_after_a_lost_file_the_series_of_the_file_goes_before_the_number() -> None:
    numbers = Numbers("gw")
    numbers.series = "xb41c-"
    numbers.add(1, 1)
    assert numbers.next() == "gw-xb41c-1"


def test_a_new_block_is_asked_for_in_time() -> None:
    numbers = Numbers("gw")
    assert numbers.is_low
    numbers.add(1, 16)
    assert not numbers.is_low
    for _ in range(9):
        numbers.next()
    assert numbers.is_low


def test_a_block_of_a_lost_file_is_not_mixed_into_the_series_of_the_fresh_one() -> None:
    numbers = Numbers("gw")
    numbers.start("b41c", 0)
    numbers.add(17, 16)  # from the file that is spoilt now
    numbers.use_series("xb41c-")
    numbers.add(1, 16)
    ids = [numbers.next() for _ in range(20)]
    assert ids[:2] == ["gw-xb41c-1", "gw-xb41c-2"]
    assert len(set(ids)) == 20
