"""Is this the device that we think it is, and does it hold what it must: questions and what their answers mean.

`know` of a device file is a register that only this model shows so; `setup` are registers that must hold a value.
"""

from dataclasses import replace

from drivers import modbus, registers
from drivers.coding import join
from drivers.device_file import BIT_TABLES, RAW_MAX, WORDS, Setup, Value
from drivers.line import Request
from drivers.registers import FUNCTION, Device

WRITE: dict[str, int] = {"coil": 5, "holding": 6}


def know_request(device: Device) -> Request | None:
    """The read that tells who it is; None: the model cannot be told from others."""
    know = device.profile.know
    if know is None:
        return None
    count = 1 if know.table in BIT_TABLES else WORDS[know.type]
    return _request(device, modbus.read_request(device.unit, FUNCTION[know.table], know.address, count))


def stranger(device: Device, request: Request, reply: bytes) -> str | None:
    """Why this is another device, by the reply to `know_request`; None: it is the one."""
    know = device.profile.know
    assert know is not None
    _, function, _, count = modbus.parse_read(request.tx)
    words = registers.words(function, count, modbus.reply_data(reply))
    raw = join(
        words, Value(kind="raw_0", table=know.table, address=know.address, type=know.type, order=know.order)
    )
    wanted = know.equals & RAW_MAX[know.type]
    if raw == wanted:
        return None
    return f"unit {device.unit} is no {device.name}: {know.table} {know.address} is {raw:#x}, not {wanted:#x}"


def held_request(device: Device, row: Setup) -> Request:
    """The read of one register (or coil) that must hold a value."""
    return _request(device, modbus.read_request(device.unit, FUNCTION[row.table], row.address, 1))


def differs(row: Setup, request: Request, reply: bytes) -> str | None:
    """How the register differs from what it must hold."""
    _, function, _, count = modbus.parse_read(request.tx)
    [word] = registers.words(function, count, modbus.reply_data(reply))
    return None if word == row.value else f"{row.table} {row.address} is {word}, must be {row.value}"


def write_request(device: Device, row: Setup) -> Request:
    """The write of one register (or coil) that must hold a value."""
    value = (0xFF00 if row.value else 0) if row.table == "coil" else row.value
    body = bytes((device.unit, WRITE[row.table])) + row.address.to_bytes(2, "big") + value.to_bytes(2, "big")
    return _request(device, modbus.with_crc(body))


def _request(device: Device, tx: bytes) -> Request:
    first = registers.requests(device)[0]
    return replace(first, tx=tx, expected=modbus.expected_length(tx), channels=(), resync=first.tx)
