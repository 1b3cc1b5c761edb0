"""Secrets stay inside: the agent runs with --verbose, its receivers refuse, and the planted words are nowhere."""

import base64
import json
from pathlib import Path

import pytest

from tests.agent_site import lane, until_logged
from tests.rig import Rig, free_port, wait

pytestmark = pytest.mark.parts

TOKEN = "pLanted-t0ken"
KEY_TEXT = b"pLanted-signing-key-of-a-webhook"
KEY = base64.b64encode(KEY_TEXT).decode()
# A webhook whose whole address is secret, for each way in which a receiver may answer.
MODES = {
    "forbids": "status:401",
    "hangs": "hang",
    "points": "redirect",
    "breaks": "status:500",
    "talks": "nonsense",
}


def test_no_word_of_a_credential_is_said_anywhere(tmp_path: Path) -> None:
    names = (*MODES, "refused", "lost", "phone")
    kinds = {name: "apprise" if name == "phone" else "webhook" for name in names}
    site = lane() + "".join(
        f'[[notifier]]\nid = "{name}"\nkind = "{kind}"\ncredential = "{name}"\n'
        for name, kind in kinds.items()
    )
    with Rig(tmp_path, site) as rig:
        rig.verbose = True
        rig.start_receiver("ok")
        for name in names:
            port = rig.start_receiver(MODES[name], name=name) if name in MODES else free_port()
            host = "no-such-host.invalid" if name == "lost" else "127.0.0.1"
            scheme = "json" if name == "phone" else "https" if name == "lost" else "http"
            url = f"{scheme}://{host}:{port}/hook/{TOKEN}?sign={TOKEN}"
            rig.credential(name, f'key = "whsec_{KEY}"\nurl = "{url}"\n')
        rig.start_virtual()
        rig.start_agent()
        rig.until_up()
        rig.set("khoi-5-12", "smoke_contact", 1)
        wait(lambda: rig.received("hangs"))
        rig.set("nut-5-12", "call_point", 1)  # the newer push gives the one that hangs a second to end
        for name in names:
            until_logged(rig, f"notifier={name} state=bad")
        wait(lambda: len(rig.received("breaks")) >= 2)
        answers = [
            json.dumps(rig.view(), ensure_ascii=False),
            json.dumps(rig.command(do="ack", incident="xd-gw-07-1", by="an")),
            rig.wardwatch("ack").stderr,
            *(rig.get(page)[1] for page in ("/health", "/metrics", "/nowhere")),
        ]
        argv = Path(f"/proc/{rig.agent.pid}/cmdline").read_text() if rig.agent else ""
        assert rig.stop_agent() == 0
        kept = b"".join(file.read_bytes() for file in rig.state.rglob("*") if file.is_file())
    said = "\n".join([*answers, argv, rig.agent_log(), kept.decode("utf-8", "replace")])
    assert "notifier forbids: HTTP 401" in said  # reasons are told,
    for planted in (TOKEN, KEY, KEY_TEXT.decode(), "whsec_", "/hook/", "v1,"):  # secrets are not
        assert planted not in said
