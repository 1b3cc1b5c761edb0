"""The shapes of a device file: link habits, values with their registers or the inputs of a module, setup, know.

Only what one table can say by itself stands here; what has to be judged across keys is in `profile`. Addresses count
from 0 as on the wire.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

# "frame": the words of a UART sensor's report (drivers.uart); the others are Modbus's own
Table = Literal["coil", "discrete", "input", "holding", "frame"]
Type = Literal["u16", "i16", "u32", "i32", "f32", "bit"]
Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
EndMeans = Literal["range", "bound", "no_echo", "sentinel"]

BIT_TABLES: Final = frozenset({"coil", "discrete"})
WORDS: Final[dict[str, int]] = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "f32": 2, "bit": 1}
RAW_MAX: Final[dict[str, int]] = {t: (1 << 16 * n) - 1 for t, n in WORDS.items()} | {"bit": 1}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Tcp(_Part):
    """Habits of a device's Modbus TCP server."""

    idle_close: bool = False
    clients: int = Field(default=1, ge=1)
    transaction: Literal["kept", "ignored"] = "kept"


class Link(_Part):
    """Factory setting of the wire and habits of the device. `merge` False: one read for each value."""

    baud: int = Field(default=9600, ge=300, le=4_000_000)
    framing: str = Field(default="8N1", pattern=r"^[78][NEO][12]$")
    unit: int = Field(default=1, ge=1, le=255)
    reply_ms: float = Field(default=200.0, gt=0, le=10_000)
    late_ms: float = Field(default=1000.0, gt=0, le=60_000)
    warmup_s: float = Field(default=0.0, ge=0)
    rest_ms: float = Field(default=0.0, ge=0, le=10_000)
    count_max: int = Field(default=125, ge=1, le=125)
    merge: bool = True
    tcp: Tcp | None = None


class UnitAt(_Part):
    """A register that tells the unit: `factor` maps its content to what the value is multiplied by."""

    address: int = Field(ge=0, le=0xFFFF)
    factor: dict[str, float]


class Value(_Part):
    """One quantity: where it is, how it is coded, what may be believed.

    `range` in the kind's unit after scaling, ends included; `sentinel`, `open`, `short` are raw words,
    unsigned, after the mask; `order` tells which byte of a 32-bit value is first on the wire (A = highest).
    """

    kind: str
    table: Table
    address: int = Field(ge=0, le=0xFFFF)
    type: Type = "u16"
    scale: float = 1.0
    order: Order = "ABCD"
    mask: int | None = Field(default=None, gt=0)
    range: tuple[float, float] | None = None
    resolution: float | None = Field(default=None, gt=0)
    sentinel: tuple[int, ...] = ()
    at_low: EndMeans = "range"
    at_high: EndMeans = "range"
    decimals_at: int | None = Field(default=None, ge=0, le=0xFFFF)
    unit_at: UnitAt | None = None
    invert: bool = False
    open: tuple[int, ...] = ()
    short: tuple[int, ...] = ()

    @property
    def words(self) -> int:
        """Registers (or bits, in a bit table) that the value occupies."""
        return WORDS[self.type]

    @property
    def extent(self) -> tuple[int, int]:
        """First and last register of the value and of those that tell its decimals and unit."""
        first = last = self.address
        for other in (self.decimals_at, self.unit_at.address if self.unit_at else None):
            if other is not None:
                first, last = min(first, other), max(last, other)
        return first, max(last, self.address + self.words - 1)


class Uart(_Part):
    """A sensor that speaks frames of its own: `family` (drivers.families) and `words` of this model's report.

    `ask` in hex replaces the family's question; "" = it talks by itself. `fixed`: words that a simulated one shows.
    """

    family: str
    words: int = Field(ge=1, le=64)
    ask: str | None = Field(default=None, pattern=r"^([0-9a-f]{2}( [0-9a-f]{2})*)?$")
    fixed: dict[str, int] = Field(default_factory=dict)


class Inputs(_Part):
    """Equal inputs of a module, input 1 at `address`."""

    table: Table
    address: int = Field(ge=0, le=0xFFFF)
    count: int = Field(ge=1, le=128)
    type: Type = "bit"
    scale: float = 1.0


class Setup(_Part):
    """A register that must hold `value`."""

    table: Table
    address: int = Field(ge=0, le=0xFFFF)
    value: int = Field(ge=0, le=0xFFFF)


class Know(_Part):
    """How the device is recognised."""

    table: Table
    address: int = Field(ge=0, le=0xFFFF)
    type: Type = "u16"
    order: Order = "ABCD"
    equals: int


class Profile(_Part):
    """A whole device file; it is known by the file's name."""

    schema_: Literal[1] = Field(alias="schema")
    title: str
    source: str
    confidence: Literal["captured", "document", "unproven"]
    link: Link = Field(default_factory=Link)
    value: tuple[Value, ...] = ()
    inputs: Inputs | None = None
    uart: Uart | None = None
    setup: tuple[Setup, ...] = ()
    know: Know | None = None
