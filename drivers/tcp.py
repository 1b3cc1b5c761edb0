"""Byte streams over TCP, for Modbus TCP and for RTU frames through serial servers: an ordinary `Port`.

Opening has one total time limit, name resolution included (`resolve` runs elsewhere: a dead name server holds neither
the loop nor the exit). Small packets leave at once (asyncio sets TCP_NODELAY), keep-alive finds peers that are gone.
Foreign errors become PortError with a reason for people; after its first error a port stays closed.
"""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from drivers.port import PortError

OPEN_S: Final = 5.0
UNSENT_BYTES_MAX: Final = 4096

Resolve = Callable[[str], Awaitable[list[str]]]  # name -> addresses, best first; raises OSError


class TcpPort:
    """One connection to HOST:PORT at a time."""

    def __init__(self, host: str, port: int, resolve: Resolve) -> None:
        self._host, self._port = host, port
        self._resolve = resolve
        self._transport: asyncio.Transport | None = None

    async def open(self, received: Callable[[bytes], None], lost: Callable[[PortError], None]) -> None:
        """See `drivers.port.Port`."""
        assert self._transport is None, "already open"
        try:
            async with asyncio.timeout(OPEN_S):
                self._transport = await self._connect(received, lost)
        except TimeoutError:
            raise PortError(f"{self._name}: no answer within {OPEN_S:g} s") from None
        except OSError as error:
            raise PortError(f"{self._name}: {_words(error)}") from error
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def write(self, data: bytes) -> None:
        """See `drivers.port.Port`."""
        if self._transport is None:
            raise PortError(f"{self._name}: not open")
        if self._transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            self.close()
            raise PortError(f"{self._name}: takes no bytes")
        self._transport.write(data)

    def close(self) -> None:
        """See `drivers.port.Port`."""
        opened, self._transport = self._transport, None
        if opened is not None:
            opened.abort()

    @property
    def _name(self) -> str:
        return f"{self._host}:{self._port}"

    async def _connect(
        self, received: Callable[[bytes], None], lost: Callable[[PortError], None]
    ) -> asyncio.Transport:
        """The first address that takes us; the last refusal when none does."""
        loop = asyncio.get_running_loop()
        refused: OSError = OSError(0, "the name has no address")
        for address in await self._addresses():
            try:
                transport, _ = await loop.create_connection(
                    lambda: _Stream(self, received, lost), address, self._port
                )
            except OSError as error:
                refused = error
            else:
                return transport
        raise refused

    async def _addresses(self) -> list[str]:
        try:
            return [str(ipaddress.ip_address(self._host.strip("[]")))]
        except ValueError:
            return await self._resolve(self._host)

    def ended(self, transport: asyncio.Transport) -> bool:
        """Forget a connection that ended; whether it was the one in use."""
        is_ours = transport is self._transport
        if is_ours:
            self._transport = None
        return is_ours


class _Stream(asyncio.Protocol):
    """Hands bytes on as they come."""

    def __init__(
        self, port: TcpPort, received: Callable[[bytes], None], lost: Callable[[PortError], None]
    ) -> None:
        self._port = port
        self._lost = lost
        self._received = received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._port.ended(self._transport):
            reason = _words(exc) if isinstance(exc, OSError) else "closed by the other end"
            self._lost(PortError(f"{self._port._name}: {reason}"))


def _words(error: OSError) -> str:
    """The system's own words: asyncio's repeat the address, a resolver's number is negative."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or "cannot connect"
