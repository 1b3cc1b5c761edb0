"""What a poller asks on, whichever sort of line it is."""

from typing import Protocol

from drivers.line import LineStats, Request


class Wire(Protocol):
    """What a poller asks on: a serial line, a Modbus TCP endpoint, or the line of one UART sensor."""

    stats: LineStats
    heard: bytes

    async def open(self) -> None:
        """Raises PortError."""

    def close(self) -> None:
        """May be called again."""

    def ready_in_s(self, unit: int) -> float:
        """Seconds for which the unit must be left alone."""

    async def exchange(self, request: Request) -> bytes:
        """The checked reply. Raises WireError, PortError."""
