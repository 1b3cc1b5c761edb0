"""Files become one configuration: what wins, what is only a notice, what never shows."""

import base64
import os
import tomllib
from pathlib import Path

import pytest

from edge import admission, config
from edge.credentials import Credential
from models.problem import Problem

ROOT = Path(__file__).parent.parent
EXAMPLE = (ROOT / "deploy" / "site.example.toml").read_text("utf-8")
DI_8 = (ROOT / "drivers" / "devices" / "di-8.toml").read_text("utf-8")
KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def _no_credentials_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


def put(folder: Path, name: str, text: str | bytes, mode: int = 0o600) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def site(folder: Path, *changes: tuple[str, str]) -> Path:
    text = EXAMPLE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return put(folder, "site.toml", text)


def good(path: Path) -> tuple[config.Config, list[Problem]]:
    loaded, problems = config.load(path)
    assert loaded is not None, [p for p in problems if not p.is_notice]
    return loaded, problems


def wrong(path: Path) -> list[Problem]:
    loaded, problems = config.load(path)
    assert loaded is None
    return [p for p in problems if not p.is_notice]


def test_the_example_becomes_devices_by_bus_and_unit(tmp_path: Path) -> None:
    loaded, problems = good(site(tmp_path))
    assert all(p.is_notice for p in problems)
    found = {(d.bus, d.unit): sorted(s.id for s in d.sensors) for d in loaded.devices}
    assert found == {("rs485-1", 9): ["khoi-5-12", "nut-5-12"], ("rs485-1", 12): ["ngo-12-level"]}
    assert loaded.fingerprint.startswith("sha256:")
    assert len(loaded.fingerprint) == 7 + 64


# (bytes of the file, a piece of what is said)
UNREADABLE = [
    (b"schema = 1\nward = {\n", "is not TOML"),
    (b'[ward]\nid = "a"   name = "b"\n', "line 2"),  # rows of the contract pages are not one line of TOML
    (b"a = nope\n", "line 1"),
    (b'name = "Ng\xf5 5"\n', "UTF-8 text (line 1)"),  # a Latin-1 editor
    (b"a = " + b"[" * 3000 + b"]" * 3000, "without end"),
    (b"a = " + b"9" * 5000, "without end"),
    (b"a = 0x" + b"f" * 5000, "without end"),
    (b"", "missing"),
]


@pytest.mark.parametrize(("content", "text"), UNREADABLE)
def test_a_file_that_cannot_be_read_is_a_problem_and_never_an_error(
    tmp_path: Path, content: bytes, text: str
) -> None:
    found = wrong(put(tmp_path, "site.toml", content))
    assert any(text in p.what for p in found), found


def test_a_byte_order_mark_of_a_windows_editor_does_no_harm(tmp_path: Path) -> None:
    good(put(tmp_path, "site.toml", b"\xef\xbb\xbf" + EXAMPLE.encode()))


def test_a_missing_file_a_folder_and_a_pipe_are_problems(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "No such file" in wrong(tmp_path / "none.toml")[0].what
    assert "folder" in wrong(tmp_path)[0].what
    assert "not a file" in wrong(tmp_path / "pipe")[0].what
    assert "cannot be read" in wrong(tmp_path / "a\0b")[0].what


def test_a_syntax_error_repeats_no_text_of_the_file(tmp_path: Path) -> None:
    for text in ("x = PLANTED", 'k = "PLANTED', "[PLANTED]\n[PLANTED]\n", "PLANTED", 'a = "b" PLANTED'):
        assert "PLANTED" not in repr(config.load(put(tmp_path, "site.toml", text))[1])


def test_a_device_file_beside_the_site_wins_over_the_packaged_one(tmp_path: Path) -> None:
    text = DI_8.replace("count = 8", "count = 3")
    assert text != DI_8
    put(tmp_path, "devices/di-8.toml", text)
    found = wrong(site(tmp_path))
    assert [p.path for p in found] == ["sensor.nut-5-12.input"]  # it hangs on input 4
    assert "has 3 inputs" in found[0].what


def test_a_broken_device_file_is_told_at_its_own_path_and_not_as_an_unknown_device(tmp_path: Path) -> None:
    put(tmp_path, "devices/di-8.toml", DI_8 + "\nzzz = 1\n")
    found = wrong(site(tmp_path))
    assert found
    assert all(p.path.startswith("devices.di-8") for p in found), found
    put(tmp_path, "devices/di-8.toml", "not toml")
    assert {p.path for p in wrong(site(tmp_path))} == {"devices.di-8"}


# (changes to the example, path, a piece of what is said, a piece of what to write instead)
CROSS = [
    (
        [('device = "sen0676"', 'device = "sen0767"')],
        "sensor.ngo-12-level.device",
        "no device file",
        '"sen0676"',
    ),
    ([("mount_height_m = 3.20", "# none")], "sensor.ngo-12-level.mount_height_m", "missing", "metres"),
    (
        [("ngo-12-level/depth_m", "ngo-12-level/co_ppm")],
        "alarm.ngo-12-flood.channel",
        "does not give",
        "distance_m",
    ),
    ([("input = 4", "input = 9")], "sensor.nut-5-12.input", "has 8 inputs", "1 to 8"),
    (
        [("unit = 12\n", "unit = 12\ninput = 1\nkind = 'distance_m'\n")],
        "sensor.ngo-12-level.input",
        "no inputs",
        "remove",
    ),
    (
        [("unit = 12\n", "unit = 12\nkind = 'noise_db'\n")],
        "sensor.ngo-12-level.kind",
        "does not give",
        "distance_m",
    ),
    (
        [('kind = "smoke_contact"', 'kind = "noise_db"')],
        "sensor.khoi-5-12.kind",
        "are contacts",
        "smoke_contact",
    ),
    ([('framing = "8N1"', 'framing = "7E1"')], "bus.rs485-1.framing", "8 data bits", "8N1"),
    ([("Asia/Ho_Chi_Minh", "Asia/Ho_Chi_Min")], "ward.zone", "not a time zone", "Asia/Ho_Chi_Minh"),
    ([("Asia/Ho_Chi_Minh", "../etc/passwd")], "ward.zone", "not a time zone", "Asia/Ho_Chi_Minh"),
    (
        [("mount_height_m = 3.20", "mount_height_m = 3.20\nprofile = { link = { reply_m = 5 } }")],
        "sensor.ngo-12-level.profile.link.reply_m",
        "key",
        "reply_ms",
    ),
]


@pytest.mark.parametrize(("changes", "path", "what", "instead"), CROSS)
def test_what_does_not_fit_the_device_is_a_problem(
    tmp_path: Path, changes: list[tuple[str, str]], path: str, what: str, instead: str
) -> None:
    found = [p for p in wrong(site(tmp_path, *changes)) if p.path == path]
    assert any(what in p.what and instead in p.instead for p in found), found


def test_a_sensors_own_changes_to_its_device_count_in_every_check(tmp_path: Path) -> None:
    changed = "input = 4\nprofile = { inputs = { table = 'discrete', address = 0, count = 3 } }"
    found = wrong(site(tmp_path, ("input = 4", changed)))
    assert [(p.path, "3 inputs" in p.what) for p in found] == [("sensor.nut-5-12.input", True)]
    for nonsense in ("{ value = [{ kind = ['a'] }] }", "{ value = 3 }", "{ link = 3 }", "{ value = [3] }"):
        assert wrong(site(tmp_path, ("unit = 12\n", f"unit = 12\nprofile = {nonsense}\n")))


def test_problems_with_devices_come_together_with_those_of_the_file(tmp_path: Path) -> None:
    paths = {p.path for p in wrong(site(tmp_path, ("input = 4", "input = 9"), ("on_s = 60", "onn_s = 60")))}
    assert paths == {"sensor.nut-5-12.input", "alarm.ngo-12-flood.onn_s"}


def test_the_factory_address_counts_when_the_site_gives_none(tmp_path: Path) -> None:
    # the module's factory address is that of the second module
    factory = tomllib.loads(DI_8)["link"]["unit"]
    second = (
        '[[sensor]]\nid = "khoi-12"\ndevice = "di-8"\nbus = "rs485-1"\n'
        'place = "ngo-12"\ninput = 1\nkind = "smoke_contact"\n'
    )
    text = EXAMPLE.replace("unit = 9\n", f"unit = {factory}\n")
    found = wrong(put(tmp_path, "site.toml", text.replace("# ---- Alarms", second + "# ---- Alarms")))
    assert [p.path for p in found] == ["sensor.khoi-12.input"]
    assert "used twice" in found[0].what


def test_what_is_only_absent_on_this_machine_is_a_notice(tmp_path: Path) -> None:
    _, problems = good(site(tmp_path))
    notes = {p.path: p.what for p in problems}
    assert "absent on this machine" in notes["bus.rs485-1.port"]
    assert "absent on this machine" in notes["notifier.duty-hook.credential"]


def test_people_and_calibration_beside_the_site_are_told_to_be_early(tmp_path: Path) -> None:
    plain_site, _ = good(site(tmp_path))
    put(tmp_path, "people.toml", "")
    put(tmp_path, "calibration.toml", 'x = 1\n[[entry]]\nsensor = "ngo-12-level"\n')
    loaded, problems = good(site(tmp_path))
    assert {"people.toml", "calibration.toml"} <= {p.path for p in problems}
    assert loaded.fingerprint != plain_site.fingerprint


def test_the_fingerprint_follows_what_is_said_and_not_how(tmp_path: Path) -> None:
    first, _ = good(site(tmp_path))
    put(tmp_path, "credentials/duty-hook", f'key = "{KEY}"')
    commented, _ = good(site(tmp_path, ("schema = 1", "# a remark\nschema   =   1")))
    assert commented.fingerprint == first.fingerprint  # a remark and a secret change nothing
    changed, _ = good(site(tmp_path, ("on_s = 60", "on_s = 61")))
    assert changed.fingerprint != first.fingerprint
    put(
        tmp_path,
        "devices/di-8.toml",
        DI_8.replace("reply_ms = ", "warmup_s = 7\nreply_ms = ")
        if "warmup_s" not in DI_8
        else DI_8.replace("warmup_s = ", "warmup_s = 1"),
    )
    assert good(site(tmp_path))[0].fingerprint != first.fingerprint  # a device file decides too


def test_a_credential_is_found_beside_the_site_or_where_the_service_manager_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site(tmp_path)
    put(tmp_path, "credentials/duty-hook", f'key = "{KEY}"')
    loaded, problems = good(path)
    assert loaded.credentials["duty-hook"].key == KEY
    assert "notifier.duty-hook.credential" not in {p.path for p in problems}
    put(tmp_path / "run", "duty-hook", 'key = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"')
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "run"))
    assert good(path)[0].credentials["duty-hook"].key == "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


# (text of credentials/duty-hook, mode, a piece of the notice)
BAD_CREDENTIALS = [
    (f'key = "{KEY}"\nurl = "https://x/PLANTED"', 0o644, "other users"),
    ('key = "PLANTED"', 0o600, "whsec_ and base64"),
    ("PLANTED", 0o600, "not a TOML file"),
    ("PLANTED = 1", 0o600, "not known"),
    ('url = "http://PLANTED.example/"', 0o600, "no key"),
    (f'key = "{KEY}"\nurl = "http://PLANTED.example/"', 0o600, "not https"),
]


@pytest.mark.parametrize(("text", "mode", "notice"), BAD_CREDENTIALS)
def test_a_bad_credential_is_a_notice_that_shows_nothing_of_it(
    tmp_path: Path, text: str, mode: int, notice: str
) -> None:
    put(tmp_path, "credentials/duty-hook", text, mode)
    loaded, problems = good(site(tmp_path))
    assert any(notice in p.what for p in problems), problems
    assert "PLANTED" not in repr(problems) + repr(loaded) + str(loaded)


@pytest.mark.parametrize("text", [t for t, _, _ in BAD_CREDENTIALS])
def test_what_a_receiver_could_not_use_is_left_out_of_a_credential(tmp_path: Path, text: str) -> None:
    put(tmp_path, "credentials/duty-hook", text)
    held = good(site(tmp_path))[0].credentials.get("duty-hook")
    if held is not None:
        assert held.key in (None, KEY)
        assert held.url in (None, "https://x/PLANTED")
    put(tmp_path, "credentials/phone", 'key = "no address"')
    phone = '[[notifier]]\nid = "phone"\nkind = "apprise"\ncredential = "phone"\n\n[limits]'
    loaded, problems = good(site(tmp_path, ("[limits]", phone)))
    assert "phone" not in loaded.credentials
    assert any(p.path == "notifier.phone.credential" and "no url" in p.what for p in problems)


def test_a_credential_shows_only_its_name() -> None:
    secret = Credential("mqtt", key="a", url="b", user="c", password="d", ca="e", cert="f", token="g")
    assert repr(secret) == str(secret) == "Credential(name='mqtt')"


def test_a_webhook_without_any_url_and_one_without_a_credential_are_notices(tmp_path: Path) -> None:
    put(tmp_path, "credentials/duty-hook", f'key = "{KEY}"')
    _, problems = good(site(tmp_path, ('url = "https://duty.ward/wardwatch"\n', "")))
    assert any(p.path == "notifier.duty-hook.url" and "tells nobody" in p.what for p in problems)
    _, problems = good(site(tmp_path, ('credential = "duty-hook"\n', "")))
    assert any("unsigned" in p.what for p in problems)


def test_a_device_set_to_another_speed_than_the_factorys_is_told(tmp_path: Path) -> None:
    _, problems = good(site(tmp_path, ("baud = 9600", "baud = 19200")))
    assert any(p.path == "sensor.khoi-5-12.device" and "19200 8N1" in p.what for p in problems)


# (period_s of the level sensor, what becomes of the bus): one poll is 8 + 7 characters of 10 bits and two silences
# of 3.5 characters, 220 bits or 22.9 ms at 9600 baud; the contact module's adds 8 + 6 characters in 0.5 s, 4.4 %.
LOADS = [(0.05, None), (0.03, "notice"), (0.02, "problem")]


@pytest.mark.parametrize(("period_s", "outcome"), LOADS)
def test_a_bus_that_cannot_carry_its_polls_is_refused(
    tmp_path: Path, period_s: float, outcome: str | None
) -> None:
    loaded, problems = config.load(site(tmp_path, ("period_s = 5\n", f"period_s = {period_s}\n")))
    about = [p for p in problems if p.path == "bus.rs485-1"]
    assert [("notice" if p.is_notice else "problem") for p in about] == ([outcome] if outcome else [])
    assert (loaded is None) == (outcome == "problem")


def test_the_least_share_of_the_wire_is_the_sum_by_hand(tmp_path: Path) -> None:
    loaded, _ = good(site(tmp_path))
    level = (8 + 7 + 7) * 10 / 9600 / 5  # request, reply, two silences of 3.5 characters, each 5 s
    module = (8 + 6 + 7) * 10 / 9600 / 0.5
    assert admission.share(loaded.site.bus[0], loaded.devices) == pytest.approx(level + module)


def test_an_analogue_fire_channel_under_a_fire_alarm_is_shown_but_not_judged(tmp_path: Path) -> None:
    th = (
        '[[sensor]]\nid = "th"\ndevice = "xy-md02"\nbus = "rs485-1"\n'
        'unit = 3\nplace = "ngo-5-12"\n\n# ---- Alarms'
    )
    _, problems = good(site(tmp_path, ("# ---- Alarms", th)))
    assert any(p.path == "alarm.ngo-5-fire" and "sensor.th/temperature_c" in p.what for p in problems)
