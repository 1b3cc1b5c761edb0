"""The local socket: one JSON object a line; bad input gets words and costs the others nothing."""

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from edge.control import CLIENTS_MAX, LINE_BYTES_MAX, AgentAway, Control, ControlError, ask
from edge.threads import Worker


def echo(request: dict[str, Any], user: str) -> dict[str, Any]:
    return {"ok": True, "got": request, "user": user}


async def _say(path: Path, raw: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(raw)
    line = await reader.readline()
    writer.close()
    answer: dict[str, Any] = json.loads(line)
    return answer


def with_control(path: Path, body: Any) -> Any:
    async def main() -> Any:
        control = Control(path, echo)
        await control.start()
        try:
            return await body()
        finally:
            await control.stop()

    return asyncio.run(main())


def test_one_object_a_line_each_way_and_the_local_user_is_known(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def body() -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        for n in range(3):
            writer.write(json.dumps({"do": "x", "n": n}).encode() + b"\n")
            answer = json.loads(await reader.readline())
            assert answer["got"] == {"do": "x", "n": n}
            assert answer["user"]
        writer.close()
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660

    with_control(path, body)
    assert not path.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"not json\n",
        b"[1, 2]\n",  # JSON, but no object
        b'"view"\n',
        b"\xff\xfe\n",  # not UTF-8
        b"[" * 5000 + b"\n",  # deeper than the parser goes
        b"{" + b" " * LINE_BYTES_MAX + b"}\n",  # longer than the limit
    ],
)
def test_bad_input_is_answered_with_words(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "control.sock"

    async def body() -> None:
        answer = await _say(path, raw)
        assert answer["ok"] is False
        assert answer["why"]
        assert (await _say(path, b'{"do":"x"}\n'))["ok"] is True

    with_control(path, body)


def test_too_many_clients_do_not_shut_out_who_is_there(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def body() -> None:
        held = [await asyncio.open_unix_connection(path) for _ in range(CLIENTS_MAX)]
        await asyncio.sleep(0)
        reader, writer = held[0]
        writer.write(b'{"do":"x"}\n')
        assert json.loads(await reader.readline())["ok"] is True
        late, _ = await asyncio.open_unix_connection(path)
        assert await late.readline() == b""
        for _, one in held:
            one.close()

    with_control(path, body)


def test_a_socket_left_by_a_killed_agent_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("left over")

    async def body() -> None:
        assert (await _say(path, b'{"do":"x"}\n'))["ok"] is True

    with_control(path, body)


def test_a_path_too_long_for_a_socket_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="shorter state folder"):
        with_control(tmp_path / ("x" * 120), None)


def test_a_command_without_an_agent_says_so(tmp_path: Path) -> None:
    with pytest.raises(AgentAway, match="no agent answers"):
        ask(tmp_path / "control.sock", {"do": "view"})


def test_a_command_gets_its_answer(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def body() -> dict[str, Any]:
        return await Worker("asker")(lambda: ask(path, {"do": "ack"}))

    assert with_control(path, body)["got"] == {"do": "ack"}
