"""The journal: what is kept, what a restart finds, damaged files, full disks, kills."""

import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import aside
from gateway import journal as journal_module
from gateway.journal import Journal, JournalError, KeptTime, Restored, UsedCommand, Write, open_journal
from gateway.notify import DeliveryState, Notified, Policy, Reason, decide
from models.alarm import Alarm, Mask
from models.alarm_table import AlarmState
from models.evidence import Contribution
from models.incident import Ack, Incident, IncidentState
from models.reading import Hazard

DAY = 86_400 * 1_000_000_000
INCIDENT = Incident(
    "xd-gw-07-1",
    Hazard.FIRE,
    "ngo-5",
    IncidentState.CONFIRMED,
    1,
    2,
    3,
    10,
    20,
    ("ngo-5-fire",),
    (Contribution("head/smoke_db_m", 0.17, "at_least", 0.1, 15, "0.17 dB/m, usual 0.00..0.02"),),
    (Ack("Nguyễn Văn An", "webhook", 2, 17),),
    latched=True,
)
ALARM = Alarm(
    "ngo-5-fire", AlarmState.ACKED, Mask.NONE, 5, {"off": 99, "rise-3": 120}, 2, True, "an", 7, judged=True
)


def opened(folder: Path) -> tuple[Journal, Restored, str | None]:
    it = open_journal(folder / "incidents.db", folder / "aside", "b41c77")
    return it.journal, it.restored, it.damaged


def reopened(folder: Path, journal: Journal) -> Restored:
    journal.close()
    journal, restored, damaged = opened(folder)
    assert damaged is None
    journal.close()
    return restored


def sends(incident: Incident, *to: str) -> tuple[Notified, ...]:
    return decide([], incident, Policy(to, 180), 30).sends


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    journal, restored, damaged = opened(tmp_path)
    assert (restored, damaged) == (Restored(), None)
    told = replace(sends(INCIDENT, "duty-hook")[0], state=DeliveryState.ACCEPTED, attempts=2, ack_by="an")
    time = KeptTime("b41c77", 1_000, 2_000)
    journal.commit(Write((INCIDENT,), (ALARM,), (told,), (UsedCommand("01J", "desk", "ack", 5),), time))
    restored = reopened(tmp_path, journal)
    assert restored.incidents == (INCIDENT,)
    assert restored.alarms == (replace(ALARM, judged=False),)  # nothing is judged after a start
    assert restored.notified == (told,)
    assert restored.commands == {"01J"}
    assert restored.time == time
    assert (restored.series, restored.unreadable) == ("", ())


def test_a_revision_never_falls(tmp_path: Path) -> None:
    journal, _, _ = opened(tmp_path)
    newer = replace(INCIDENT, revision=4, level=3)
    journal.commit(Write((newer,)))
    journal.commit(Write((INCIDENT,)))
    assert reopened(tmp_path, journal).incidents == (newer,)


def test_numbers_are_never_given_twice(tmp_path: Path) -> None:
    journal, _, _ = opened(tmp_path)
    assert [journal.reserve(16), journal.reserve(16)] == [1, 17]
    journal.close()
    journal, _, _ = opened(tmp_path)
    assert journal.reserve() == 33
    journal.close()


def test_site_time_is_never_older_than_any_row(tmp_path: Path) -> None:
    journal, _, _ = opened(tmp_path)
    journal.commit(Write((replace(INCIDENT, changed_ns=5_000),), time=KeptTime("b", 0, 100)))
    assert reopened(tmp_path, journal).time == KeptTime("b", 0, 5_000)


def test_a_restart_finds_the_newest_send_to_each_receiver(tmp_path: Path) -> None:
    journal, _, _ = opened(tmp_path)
    first, other = sends(INCIDENT, "duty-hook", "phone")
    first, other = replace(first, state=DeliveryState.SENT), replace(other, state=DeliveryState.ACCEPTED)
    repeat = replace(first, send=1, queued_ns=40, state=DeliveryState.QUEUED)
    journal.commit(Write((INCIDENT,), notified=(first, other, repeat)))
    assert set(reopened(tmp_path, journal).notified) == {repeat, other}
    with sqlite3.connect(
        tmp_path / "incidents.db"
    ) as db:  # what the old process left behind is said as it is
        found = db.execute("SELECT state FROM notified WHERE send=0 AND \"to\"='duty-hook'").fetchall()
    assert found == [("superseded",)]


def test_a_closing_word_that_was_not_delivered_comes_back_too(tmp_path: Path) -> None:
    journal, _, _ = opened(tmp_path)
    closed = replace(INCIDENT, state=IncidentState.CLOSED, closed_ns=50, cause="cooking", revision=5)
    told, accepted = (replace(row, revision=5) for row in sends(INCIDENT, "duty-hook", "phone"))
    accepted = replace(accepted, state=DeliveryState.ACCEPTED)
    journal.commit(Write((closed,), notified=(told, accepted)))
    restored = reopened(tmp_path, journal)
    assert (restored.incidents, restored.closed, restored.notified) == ((), (closed,), (told,))


def test_acknowledgements_are_kept_with_their_incident(tmp_path: Path) -> None:
    journal, _, _ = opened(tmp_path)
    journal.commit(Write((INCIDENT,)))
    journal.commit(Write((INCIDENT,)))  # again: no second row
    journal.close()
    with sqlite3.connect(tmp_path / "incidents.db") as db:
        assert db.execute("SELECT * FROM ack").fetchall() == [
            ("xd-gw-07-1", "Nguyễn Văn An", "webhook", 2, 17)
        ]


def spoil_head(path: Path) -> None:
    path.write_bytes(b"this is no database at all, not even nearly" * 200)


def spoil_page(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[2 * 4096 : 4 * 4096] = b"\xa5" * (2 * 4096)
    path.write_bytes(raw)


def cut_in_half(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2 // 4096 * 4096])


def make_foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE recipes(name)")


def make_newer(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")


def drop_table(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE alarm")


@pytest.mark.parametrize("spoil", [spoil_head, spoil_page, cut_in_half, make_foreign, make_newer, drop_table])
def test_a_damaged_file_is_kept_aside_and_a_fresh_one_starts(tmp_path: Path, spoil: object) -> None:
    assert callable(spoil)
    journal, _, _ = opened(tmp_path)
    journal.commit(Write((INCIDENT,), (ALARM,), sends(INCIDENT, "duty-hook")))
    journal.reserve()
    journal.close()
    spoil(tmp_path / "incidents.db")
    was = (tmp_path / "incidents.db").read_bytes()

    journal, restored, damaged = opened(tmp_path)
    assert damaged is not None
    assert damaged.endswith("kept as aside/incidents.db.0")
    assert restored == Restored(series="xb41c-")  # new ids cannot meet the lost ones
    assert (tmp_path / "aside" / "incidents.db.0").read_bytes()[4096:] == was[4096:]
    journal.commit(Write((INCIDENT,)))
    assert reopened(tmp_path, journal).series == "xb41c-"  # and stay so after a restart


def test_a_second_damage_in_the_same_boot_has_another_series_and_aside_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "ASIDE_MAX", 3)
    series = []
    for _ in range(5):
        spoil_head(tmp_path / "incidents.db")
        journal, restored, _ = opened(tmp_path)
        journal.close()
        series.append(restored.series)
    assert series == ["xb41c-", "xb41c1-", "xb41c2-", "xb41c3-", "xb41c4-"]
    kept = sorted(p.name for p in (tmp_path / "aside").iterdir())
    assert kept == ["incidents.db.2", "incidents.db.3", "incidents.db.4"]


def test_one_row_that_cannot_be_read_is_named_and_the_others_are_there(tmp_path: Path) -> None:
    journal, _, _ = opened(tmp_path)
    journal.commit(Write((INCIDENT, replace(INCIDENT, id="xd-gw-07-2")), (ALARM,)))
    journal.close()
    with sqlite3.connect(tmp_path / "incidents.db") as db:
        db.execute("UPDATE incident SET json='{\"id\":1}' WHERE id='xd-gw-07-1'")
        db.execute("UPDATE alarm SET json='rust'")
    journal, restored, damaged = opened(tmp_path)
    journal.close()
    assert damaged is None
    assert [one.id for one in restored.incidents] == ["xd-gw-07-2"]
    assert [line.split(":")[0] for line in restored.unreadable] == ["incident xd-gw-07-1", "alarm ngo-5-fire"]


def test_a_folder_that_is_not_there_is_the_disks_fault(tmp_path: Path) -> None:
    with pytest.raises(JournalError) as caught:
        open_journal(tmp_path / "gone" / "incidents.db", tmp_path / "aside")
    assert not caught.value.is_damage


def test_a_write_that_fails_leaves_nothing_behind_and_the_next_one_works(tmp_path: Path) -> None:
    journal, _, _ = opened(tmp_path)
    other = sqlite3.connect(tmp_path / "incidents.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError) as caught:
        journal.commit(Write((INCIDENT,)))
    assert not caught.value.is_damage
    other.execute("ROLLBACK")
    other.close()
    journal.commit(Write(alarms=(ALARM,)))
    restored = reopened(tmp_path, journal)
    assert (restored.incidents, len(restored.alarms)) == ((), 1)


def test_an_error_of_our_own_in_the_middle_of_a_write_leaves_nothing_behind(tmp_path: Path) -> None:
    journal, _, _ = opened(tmp_path)
    broken = replace(INCIDENT, id="xd-gw-07-2", evidence=(replace(INCIDENT.evidence[0], value=float("nan")),))
    with pytest.raises(ValueError):
        journal.commit(Write((INCIDENT, broken)))
    journal.commit(Write(alarms=(ALARM,)))
    restored = reopened(tmp_path, journal)
    assert (restored.incidents, len(restored.alarms)) == ((), 1)


def test_tidy_forgets_what_is_old_and_nothing_that_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "CLOSED_ROWS_MAX", 5)
    monkeypatch.setattr(journal_module, "COMMAND_ROWS_MAX", 4)
    monkeypatch.setattr(journal_module, "NOTIFIED_ROWS_MAX", 10)
    journal, _, _ = opened(tmp_path)
    closed = [replace(INCIDENT, id=f"c-{i}", state=IncidentState.CLOSED, closed_ns=i * DAY) for i in range(8)]
    commands = tuple(UsedCommand(f"id-{i}", "desk", "ack", i) for i in range(9))
    repeats = tuple(replace(sends(INCIDENT, "duty-hook")[0], send=i, at_ns=i) for i in range(30))
    journal.commit(Write((INCIDENT, *closed), notified=repeats, commands=commands))
    assert journal.tidy(402 * DAY) == 3 + 20 + 5  # c-0 .. c-2 (too many, and two too old), sends, commands
    assert journal.tidy(402 * DAY) == 0
    restored = reopened(tmp_path, journal)
    assert restored.incidents == (INCIDENT,)
    assert [one.id for one in restored.closed] == ["c-3", "c-4", "c-5", "c-6", "c-7"]
    assert restored.commands == {f"id-{i}" for i in range(5, 9)}
    assert [row.send for row in restored.notified] == [29]  # the newest says what was told


@pytest.mark.parts
def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from dataclasses import replace
        from pathlib import Path
        from gateway.journal import Write, open_journal
        from tests.test_journal import INCIDENT
        journal = open_journal(Path(sys.argv[1]) / "incidents.db", Path(sys.argv[1]) / "aside").journal
        for revision in range(4, 1_000_000):
            journal.commit(Write((replace(INCIDENT, revision=revision),)))
            print(revision, flush=True)
        """
    )
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(50)]
        process.kill()
        seen += [int(line) for line in process.stdout.read().split()]
        process.wait()
        journal, restored, damaged = opened(tmp_path)
        assert damaged is None
        assert restored.incidents[0].revision >= seen[-1]
        journal.commit(Write((replace(INCIDENT, revision=3),)))
        journal.close()
        (tmp_path / "incidents.db").unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "small"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parts
def test_a_full_disk_is_said_and_ends_when_space_returns(small_disk: Path) -> None:
    journal, _, _ = opened(small_disk)
    journal.commit(Write((INCIDENT,)))
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"x" * 4096)
    revision, kept = 3, 3
    with pytest.raises(JournalError) as caught:
        for revision in range(4, 1000):
            journal.commit(Write((replace(INCIDENT, revision=revision),)))
            kept = revision
    assert not caught.value.is_damage
    with pytest.raises(JournalError):
        journal.reserve()
    filler.unlink()
    assert journal.reserve() == 1
    assert [one.revision for one in opened(small_disk)[1].incidents] == [kept]
    journal.commit(Write((replace(INCIDENT, revision=revision),)))
    assert reopened(small_disk, journal).incidents[0].revision == revision


@pytest.mark.parts
def test_a_journal_cannot_be_made_on_a_full_disk_but_later_it_can(small_disk: Path) -> None:
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(JournalError) as caught:
        opened(small_disk)
    assert not caught.value.is_damage
    filler.unlink()
    journal, restored, damaged = opened(small_disk)
    assert (restored, damaged) == (Restored(), None)
    journal.close()


def test_reasons_in_rows_are_the_words_of_the_contract() -> None:
    assert [str(reason) for reason in Reason][:4] == ["first", "escalated", "more_evidence", "unacked_repeat"]
