"""A new configuration meets old state: each change is named by `check --state`, and done by the next start."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from drivers import world as worlds
from edge import config as configuration
from edge import old_state
from edge.__main__ import cli
from edge.simulation.run import Ward
from gateway.spool_file import open_spool

LANE = (Path(__file__).parent / "sites" / "lane.toml").read_text().replace("PORT", "9")
SINK = '\n[[sink]]\nid = "{}"\nkind = "mqtt"\nurls = ["mqtt://127.0.0.1:1883"]\n'


def site(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text)
    return path


def loaded(folder: Path, text: str) -> configuration.Config:
    config, problems = configuration.load(site(folder, text))
    assert config is not None, problems
    return config


def said(folder: Path, text: str) -> dict[str, str]:
    return {p.path: p.what for p in old_state.notices(loaded(folder, text), folder)}


def burn(folder: Path, text: str) -> Ward:
    """A fire that stays open, as state in `folder`."""
    world, problems = worlds.parse({
        "value": [
            {"t_s": 0, "sensor": "ngo-12-level", "kind": "depth_m", "value": 0.0},
            {"t_s": 0, "sensor": "nut-5-12", "kind": "call_point", "value": 0},
            {"t_s": 5, "sensor": "nut-5-12", "kind": "call_point", "value": 1},
        ]
    })  # fmt: skip
    assert world is not None, problems
    ward = Ward(loaded(folder, text), world, folder)
    ward.live(10)
    return ward


def backlog(folder: Path, *sinks: str) -> None:
    spool = open_spool(folder / "spool.db", None).spool
    spool.use_sinks(dict.fromkeys(sinks, "now"))
    spool.seal(b"x", "columns-1", 120, boot="b", site_ns=0, guess_ns=0, is_synced=True)
    spool.close()


def test_sinks_that_stay_go_and_come_are_named(tmp_path: Path) -> None:
    backlog(tmp_path, "old", "kept")
    moved = SINK.format("kept").replace("127.0.0.1", "broker.ward")
    oldest = SINK.format("all") + 'from = "oldest"\n'
    assert said(tmp_path, LANE + moved + SINK.format("new") + oldest) == {
        "state.sink.old": "is no sink of this site any more: 120 points that wait for it will be dropped",
        "sink.kept": "keeps its backlog: 120 points wait",
        "sink.new": "is new: it begins with what comes now",
        "sink.all": "is new: it begins with the oldest points that are kept",
    }


FIRE = LANE[LANE.index('[[alarm]]\nid = "ngo-5-fire"') :]
FIRE = FIRE[: FIRE.index("\n\n") if "\n\n" in FIRE else len(FIRE)]


@pytest.mark.parametrize(
    ("change", "what", "cause"),
    [
        (lambda text: text.replace('id = "ngo-5-fire"', 'id = "other-fire"'),
         "is open and will be closed: its alarm is gone", "alarm_gone"),
        (lambda text: text.replace(FIRE, FIRE.replace('place = "ngo-5"', 'place = "ngo-5-12"')),
         "is open and will be closed: its alarm moved to another place", "place_moved"),
    ],
    ids=["renamed", "moved"],
)  # fmt: skip
def test_an_open_incident_whose_alarm_is_gone_or_moved_is_closed_and_told(
    tmp_path: Path, change: object, what: str, cause: str
) -> None:
    first = burn(tmp_path, LANE)
    [fire] = [m.incident for m in first.phones[0].received]
    changed = change(LANE)  # type: ignore[operator]  # a row of the table above
    assert changed != LANE
    assert said(tmp_path, changed) == {f"state.incident.{fire['id']}": what}
    second = burn(tmp_path, changed)
    told = [m.incident for m in second.phones[0].received]
    assert (told[0]["id"], told[0]["state"], told[0]["cause"]) == (fire["id"], "closed", cause)
    # it still burns: a new incident, under a new number
    assert [one["id"] for one in told[1:]] == ["xd-gw-07-17"]  # the next block
    assert told[1]["state"] == "confirmed"


def test_a_configuration_that_changes_nothing_of_it_says_nothing(tmp_path: Path) -> None:
    burn(tmp_path, LANE)
    assert said(tmp_path, LANE) == {}


def test_check_prints_it_and_the_spool_command_reads_a_stopped_agents_file(tmp_path: Path) -> None:
    backlog(tmp_path, "old")
    result = CliRunner().invoke(cli, ["check", str(site(tmp_path, LANE)), "--state", str(tmp_path)])
    assert result.exit_code == 0
    assert "state.sink.old" in result.output
    shown = CliRunner().invoke(cli, ["spool", "--state", str(tmp_path)])
    assert shown.exit_code == 0
    assert "old: 120 points wait in 1 batches" in shown.output
    assert "of 120 produced: 0 delivered, 0 refused, 0 dropped" in shown.output
    nothing = CliRunner().invoke(cli, ["spool", "--state", str(tmp_path / "nowhere")])
    assert nothing.exit_code == 3
    assert CliRunner().invoke(cli, ["spool", "--dead", "old", "--state", str(tmp_path)]).exit_code == 3


def test_the_dump_is_line_protocol_or_csv(tmp_path: Path) -> None:
    burn(tmp_path, LANE)
    lines = (
        CliRunner().invoke(cli, ["spool", "--dump", "lines", "--state", str(tmp_path)]).output.splitlines()
    )
    pressed = [line for line in lines if "sensor=nut-5-12" in line and " call_point=1.0," in line]
    assert len(pressed) >= 8
    rows = CliRunner().invoke(cli, ["spool", "--dump", "csv", "--state", str(tmp_path)]).output.splitlines()
    assert rows[0] == "time_ms,series,field,value"
    assert len([row for row in rows if "sensor=nut-5-12" in row and row.endswith(",call_point,1.0")]) == len(
        pressed
    )
    named = [row for row in rows if ",name," in row]
    assert any("Ng. 5/12 Xuân Đỉnh" in row for row in named)
