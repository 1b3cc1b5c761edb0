"""What is absent on this machine becomes words and a port or notifier that waits, never a refusal to start."""

import asyncio
from pathlib import Path

import pytest

from drivers.port import PortError, SerialPort
from drivers.tcp import TcpPort
from edge import build
from edge import config as configuration
from gateway.message import Message
from gateway.notifiers.absent import Absent
from gateway.notifiers.webhook import Webhook
from gateway.outcome import Verdict
from gateway.teller import Notifier
from models.site import Bus
from tests.agent_site import houses

HOOK = '[[notifier]]\nid = "x"\nkind = "{}"\n{}\n'


def notifier(folder: Path, rows: str, credential: str | None = None, kind: str = "webhook") -> Notifier:
    """The notifier `x` of a site, with this text in its credential."""
    site = folder / "site.toml"
    text = houses(1).replace("WEB", "9160").replace("PORT", "9")
    site.write_text(text + HOOK.format(kind, rows))
    if credential is not None:
        path = folder / "credentials" / "x"
        path.parent.mkdir()
        path.write_text(credential)
        path.chmod(0o600)
    config, problems = configuration.load(site)
    assert config is not None, problems
    made = {one.id: one for one in build.outside(config, None).notifiers}
    return made["x"]


@pytest.mark.parametrize(
    ("rows", "credential", "kind", "words"),
    [
        ('credential = "x"', None, "webhook", "credential x is absent: put it in place and restart"),
        (
            'credential = "x"',
            'key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"',
            "webhook",
            "credential x holds no url",
        ),
        (
            'credential = "x"',
            'url = "http://10.0.0.1/plain"',
            "webhook",
            "credential x holds no url",
        ),  # not safe
        (
            'url = "https://duty.example/"\ncredential = "x"',
            'ca = "/nowhere/ca.pem"',
            "webhook",
            "the ca file of its credential cannot be used: No such file or directory",
        ),
        ('credential = "x"', None, "apprise", "credential x is absent: put it in place and restart"),
        ('credential = "x"', 'user = "an"', "apprise", "credential x is absent: put it in place and restart"),
        ('sensor = "nut-0"', None, "siren", "siren comes with a later version"),
        ('port = "serial:/dev/ttyUSB9"', None, "sms", "sms comes with a later version"),
    ],
)
def test_a_notifier_that_cannot_work_here_says_what_is_missing_and_keeps_its_sends(
    tmp_path: Path, rows: str, credential: str | None, kind: str, words: str
) -> None:
    made = notifier(tmp_path, rows, credential, kind)
    assert isinstance(made, Absent)
    assert asyncio.run(made.prepare()) == words
    outcome = asyncio.run(made.tell(Message({}, "h", "t", "vi"), None, "k"))
    assert (outcome.verdict, outcome.reason) == (Verdict.RETRY, words)


def test_an_address_in_the_site_or_in_its_credential_makes_a_webhook(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert isinstance(notifier(tmp_path / "a", 'url = "https://duty.example/"'), Webhook)
    assert isinstance(
        notifier(tmp_path / "b", 'credential = "x"', 'url = "https://duty.example/t0"'), Webhook
    )


@pytest.mark.parametrize(
    ("port", "virtual_dir", "words"),
    [
        ("virtual:rs485-1", None, "virtual:rs485-1: say where the virtual ports are, with --virtual DIR"),
        ("tcp:127.0.0.1:1", "ptys", "127.0.0.1:1: Connection refused"),
        ("rtu-tcp:127.0.0.1:1", "ptys", "127.0.0.1:1: Connection refused"),
        ("virtual:rs485-1", "ptys", "ptys/rs485-1: there is no such port"),
        ("serial:/dev/serial/by-path/none", None, "/dev/serial/by-path/none: there is no such port"),
    ],
)
def test_a_port_that_is_absent_says_why_when_it_is_opened(
    port: str, virtual_dir: str | None, words: str
) -> None:
    opener = build.port_opener(Path(virtual_dir) if virtual_dir else None)
    made = opener(Bus(id="b", port=port))

    async def open_it() -> None:
        await made.open(lambda _: None, lambda _: None)

    with pytest.raises(PortError) as caught:
        asyncio.run(open_it())
    assert str(caught.value) == words
    assert isinstance(made, SerialPort | TcpPort | build.NoPort)
    made.close()
