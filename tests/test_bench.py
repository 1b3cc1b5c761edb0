"""`wardwatch bench`: rows as the contract says, on paper and in words. No figure is asserted: machines differ."""

import json
import subprocess
from pathlib import Path

from edge.bench import wire
from tests.rig import WARDWATCH


def test_rows_have_a_baseline_of_the_same_run_and_name_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    argv = [*WARDWATCH, "bench", "core", "spool", "--json", str(path)]
    seen = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert seen.returncode == 0, seen.stderr
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["name"].split(",")[0] for row in rows] == ["core", "spool", "spool"]
    for row in rows:
        keys = {"name", "value", "unit", "baseline", "baseline_name", "ratio", "runs", "machine"}
        assert row.keys() == keys
        assert row["value"] > 0
        assert row["ratio"] == row["value"] / row["baseline"]
        assert row["machine"] in seen.stdout


def test_the_wire_is_used_and_no_silence_is_broken() -> None:
    share, early = wire.measure(9600, 0.8)
    assert early == 0
    assert 50 < share <= 100.5  # a share, whatever the machine does beside


def test_an_unknown_part_is_refused() -> None:
    seen = subprocess.run([*WARDWATCH, "bench", "speed"], capture_output=True, text=True, timeout=60)
    assert seen.returncode == 2
