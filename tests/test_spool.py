"""The spool against a model that keeps everything in lists, kills, damage, and what a full card does."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.batch import Dead
from gateway.kept import KeptTime
from gateway.spool import Spool, SpoolError
from gateway.spool_file import open_spool

S = 1_000_000_000
BIG = 10**9


def opened(folder: Path) -> Spool:
    found = open_spool(folder / "spool.db", folder / "aside")
    assert found.damaged is None
    return found.spool


def seal(
    spool: Spool, n: int = 3, *, at_s: int = 0, boot: str = "b1", synced: bool = True, data: bytes = b"x"
) -> int:
    return spool.seal(data, "columns-1", n, boot=boot, site_ns=at_s * S, guess_ns=100, is_synced=synced)


def conserved(spool: Spool) -> None:
    for name, one in spool.counts().items():
        assert one.produced == one.delivered + one.rejected + one.dropped + one.pending, (name, one)


@dataclass
class Sink:
    """What the model knows of one sink: the seqs that it still has to get, and its counts."""

    waiting: list[int]
    produced: int
    delivered: int = 0
    rejected: int = 0
    dropped: int = 0


@dataclass
class Model:
    """Every batch ever sealed that is not freed, and every sink."""

    points: dict[int, int] = field(default_factory=dict)
    offset: dict[int, int | None] = field(default_factory=dict)
    boots: dict[int, str] = field(default_factory=dict)
    sinks: dict[str, Sink] = field(default_factory=dict)


class Machine(RuleBasedStateMachine):
    """Random lives of a spool; closing and opening it again changes nothing."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.spool = opened(Path(self.folder.name))
        self.model = Model()
        self.now_s = 0
        self.boot = "b1"

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
            self.folder.cleanup()

    @rule(n=st.integers(1, 9), synced=st.booleans(), step_s=st.integers(0, 50))
    def seals(self, n: int, synced: bool, step_s: int) -> None:
        self.now_s += step_s
        seq = seal(self.spool, n, at_s=self.now_s, boot=self.boot, synced=synced)
        assert seq not in self.model.points
        self.model.points[seq] = n
        self.model.offset[seq] = 100 if synced else None
        self.model.boots[seq] = self.boot
        for sink in self.model.sinks.values():
            sink.waiting.append(seq)
            sink.produced += n

    @rule(wanted=st.dictionaries(st.sampled_from("abc"), st.sampled_from(["now", "oldest"]), max_size=3))
    def uses_sinks(self, wanted: dict[str, Any]) -> None:
        sinks = self.model.sinks
        pending = {name: sum(self.model.points[s] for s in sink.waiting) for name, sink in sinks.items()}
        gone = self.spool.use_sinks(wanted)
        assert gone == {name: pending[name] for name in pending if name not in wanted}
        for name in gone:
            del sinks[name]
        for name, start in wanted.items():
            if name not in sinks:
                waiting = sorted(self.model.points) if start == "oldest" else []
                sinks[name] = Sink(waiting, sum(self.model.points[s] for s in waiting))

    @rule(name=st.sampled_from("abc"), rejected=st.integers(0, 2))
    def delivers(self, name: str, rejected: int) -> None:
        sink = self.model.sinks.get(name)
        if sink is None:
            return
        got = self.spool.take(name)
        if not sink.waiting or self.model.offset[sink.waiting[0]] is None:
            assert got is None
            return
        assert got is not None
        seq = sink.waiting.pop(0)
        assert (got.seq, got.points, got.is_whole) == (seq, self.model.points[seq], True)
        assert got.offset_ns == self.model.offset[seq]
        bad = min(rejected, got.points)
        dead = [Dead("no such field", f"line {i}") for i in range(bad)]
        self.spool.settle(name, seq, delivered=got.points - bad, rejected=bad, dead=dead)
        sink.delivered += got.points - bad
        sink.rejected += bad

    @rule(offset=st.integers(200, 300), guessed=st.booleans())
    def stamps(self, offset: int, guessed: bool) -> None:
        self.spool.stamp(self.boot, offset, is_guessed=guessed)
        for seq, boot in self.model.boots.items():
            if boot == self.boot and self.model.offset[seq] is None:
                self.model.offset[seq] = offset

    @rule()
    def boots_again(self) -> None:
        self.spool.flush()
        self.spool.close()
        self.spool = opened(Path(self.folder.name))
        self.boot = "b" + str(int(self.boot[1:]) + 1)
        self.spool.stamp_earlier(self.boot)
        for seq in self.model.offset:
            if self.model.offset[seq] is None:
                self.model.offset[seq] = 100

    @rule()
    def a_kill_now_would_leave_the_books_right(self) -> None:
        with tempfile.TemporaryDirectory() as other:
            for file in Path(self.folder.name).glob("spool.db*"):
                shutil.copy(file, other)
            left = opened(Path(other))
            conserved(left)
            for name, one in left.counts().items():
                sink = self.model.sinks[name]
                assert one.produced == sink.produced
                assert one.pending >= sum(self.model.points[s] for s in sink.waiting)
            left.close()

    @rule(keep_s=st.integers(0, 100))
    def tidies_what_is_old(self, keep_s: int) -> None:
        self.spool.tidy(self.now_s * S, keep_ns=keep_s * S, limit_bytes=BIG)
        self._forget(lost=False)

    @rule()
    def drops_because_it_is_full(self) -> None:
        self.spool.tidy(self.now_s * S, keep_ns=BIG * S, limit_bytes=self.spool.used_bytes() - 100)
        self._forget(lost=True)

    def _forget(self, lost: bool) -> None:
        left = {one.seq for one in self.spool.batches()}
        for seq in [s for s in self.model.points if s not in left]:
            for sink in self.model.sinks.values():
                assert seq not in sink.waiting or lost
                if seq in sink.waiting:
                    assert sink.waiting[0] == seq  # the oldest goes first
                    sink.waiting.pop(0)
                    sink.dropped += self.model.points[seq]
            del self.model.points[seq], self.model.offset[seq], self.model.boots[seq]

    @invariant()
    def counts_are_those_of_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        conserved(self.spool)
        counts = self.spool.counts()
        assert counts.keys() == self.model.sinks.keys()
        for name, sink in self.model.sinks.items():
            one = counts[name]
            want = (sink.produced, sink.delivered, sink.rejected, sink.dropped)
            assert (one.produced, one.delivered, one.rejected, one.dropped) == want
            assert one.pending == sum(self.model.points[s] for s in sink.waiting)


TestLives = Machine.TestCase
TestLives.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_a_sink_starts_now_or_with_the_oldest(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    seal(spool, data=b"old")
    assert spool.use_sinks({"now": "now", "all": "oldest"}) == {}
    assert spool.take("now") is None
    first = spool.take("all")
    assert first is not None
    assert first.payload == b"old"
    assert spool.use_sinks({"renamed": "now"}) == {"now": 0, "all": 3}


def test_a_batch_without_a_time_waits_and_an_offset_never_changes(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.use_sinks({"a": "now"})
    seal(spool, at_s=10, synced=False)
    assert spool.take("a") is None
    assert spool.stamp("b1", 777, is_guessed=True) == 1
    seal(spool, at_s=20, synced=False)
    got = spool.take("a")
    assert got is not None
    assert (got.offset_ns, got.is_guessed) == (777, True)
    assert spool.stamp("b1", 888, is_guessed=False) == 1
    again = spool.take("a")
    assert again == got
    spool.settle("a", got.seq, delivered=3)
    second = spool.take("a")
    assert second is not None
    assert (second.offset_ns, second.is_guessed) == (888, False)


def test_a_page_that_went_bad_is_seen(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.use_sinks({"a": "now"})
    seal(spool, data=b"good bytes")
    spool.close()
    with closing(sqlite3.connect(tmp_path / "spool.db", isolation_level=None)) as db:
        db.execute("UPDATE batch SET payload = ?", (b"bad bytes!",))
    spool = opened(tmp_path)
    got = spool.take("a")
    assert got is not None
    assert not got.is_whole


def test_dead_letters_are_kept_up_to_their_bound_oldest_out(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.use_sinks({"a": "now"})
    for i in range(3):
        seq = seal(spool)
        big = os.urandom(4_000_000).hex()  # does not shrink below 4 MB
        spool.settle("a", seq, rejected=3, dead=[Dead(f"no {i}", big), Dead(f"no {i}", big)])
    seal(spool)
    kept = [dead.reason for _, dead in spool.dead("a")]
    assert kept == ["no 1", "no 2", "no 2"]
    assert spool.dead_reasons() == {"a": {"no 1": 1, "no 2": 2}}


def test_site_time_and_the_number_mark_have_a_second_copy(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.flush((KeptTime("b1", 5, 99), 32))
    spool.close()
    found = open_spool(tmp_path / "spool.db", tmp_path / "aside")
    assert (found.time, found.number_mark) == (KeptTime("b1", 5, 99), 32)


@pytest.mark.parametrize("spoil", [b"not a database" * 400, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_strange_file_goes_aside_and_a_fresh_one_starts(tmp_path: Path, spoil: bytes) -> None:
    (tmp_path / "spool.db").write_bytes(spoil)
    found = open_spool(tmp_path / "spool.db", tmp_path / "aside")
    assert found.damaged is not None
    assert found.damaged.endswith("kept as aside/spool.db.0")
    assert (tmp_path / "aside" / "spool.db.0").read_bytes() == spoil
    seal(found.spool)


def test_damaged_pages_under_a_running_spool_are_told_as_damage(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.use_sinks({"a": "oldest"})
    for _ in range(400):
        seal(spool, data=os.urandom(600))
    spool.close()
    path = tmp_path / "spool.db"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 4 : len(raw) // 2] = os.urandom(len(raw) // 2 - len(raw) // 4)
    path.write_bytes(raw)
    with pytest.raises(SpoolError) as problem:
        found = open_spool(path, tmp_path / "nowhere")
        assert found.damaged is None
        for _ in range(400):
            got = found.spool.take("a")
            assert got is not None
            found.spool.settle("a", got.seq, delivered=got.points)
            seal(found.spool)
    assert problem.value.is_damage


def test_another_process_cannot_open_it_meanwhile(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    seal(spool)
    code = f"import sqlite3; sqlite3.connect({str(tmp_path / 'spool.db')!r}, timeout=0).execute('SELECT * FROM batch')"
    assert b"locked" in subprocess.run([sys.executable, "-c", code], capture_output=True).stderr


CHILD = """
import sys
from pathlib import Path
from gateway.spool_file import open_spool
spool = open_spool(Path(sys.argv[1]), Path(sys.argv[1]).parent / "aside").spool
spool.use_sinks({"a": "oldest"})
while True:
    seq = spool.seal(b"%d" % 0 * 300, "columns-1", 2, boot="b", site_ns=0, guess_ns=0, is_synced=True)
    got = spool.take("a")
    if seq % 3:
        spool.settle("a", got.seq, delivered=1, rejected=1)
        print(got.seq, flush=True)
    if seq % 7 == 0:
        spool.tidy(10**18, keep_ns=0, limit_bytes=60_000)
"""


@pytest.mark.parts
def test_kills_in_the_middle_keep_the_sum(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    for n in range(12):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(20 + 13 * n)]
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        found = open_spool(path, tmp_path / "aside")
        assert found.damaged is None
        conserved(found.spool)
        # what was settled stands with the seal after it
        assert found.spool.counts()["a"].delivered > 0
        got = found.spool.take("a")
        assert got is None or got.seq >= int(said[-2])
        found.spool.close()


def test_the_wal_has_its_size_from_the_start(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    laid_out = (tmp_path / "spool.db-wal").stat().st_size
    spool.use_sinks({"a": "now"})
    for _ in range(300):
        seal(spool)
    assert 900_000 < laid_out == (tmp_path / "spool.db-wal").stat().st_size
    spool.close()
    assert opened(tmp_path).counts()["a"].pending == 900
