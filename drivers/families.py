"""The families of UART sensors by the name that a device file uses: `[uart] family = "plantower"`."""

from typing import Final

from drivers.devices import hydreon, maxbotix, nova, plantower, sensirion, ultrasonic
from drivers.uart import Family

FAMILIES: Final[dict[str, Family]] = {
    "hydreon": hydreon.FAMILY,
    "maxbotix-cm": maxbotix.CENTIMETRES,
    "maxbotix-mm": maxbotix.MILLIMETRES,
    "nova": nova.FAMILY,
    "plantower": plantower.FAMILY,
    "sensirion-shdlc": sensirion.FAMILY,
    "ultrasonic": ultrasonic.FAMILY,
    "ultrasonic-no-header": ultrasonic.NO_HEADER,
}
