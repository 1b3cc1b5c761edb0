"""What one value of a site file may be: each function gives None, or (what is wrong, what to write instead).

Single values only: what needs a second row stands in `models.site_rules` and its siblings. Nothing is looked
up or opened. Texts that people will read must be NFC, because a screen, an SMS modem and a search compare
bytes; control and direction characters are refused here once, so that no later view has to fear them.
"""

import base64
import binascii
import ipaddress
import re
import unicodedata
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

Fault = tuple[str, str] | None

PLACE_NAME_MAX: Final = 40
TEXT_MAX: Final = 200
BAUDS: Final = (1200, 2400, 4800, 9600, 14400, 19200, 28800, 38400, 57600, 76800, 115200, 230400, 460800)
COMMANDS: Final = ("ack", "reset", "under_control", "close", "shelve", "unshelve", "drill")
# A right line for a key, where the generic advice would be poor.
EXAMPLES: Final = {
"id": 'id = "ngo-5" (a-z, 0-9 and -)', "name": 'name = "Ngõ 5 Xuân Đỉnh"',
    "zone": 'zone = "Asia/Ho_Chi_Minh"', "place": 'place = "ngo-5" (the id of a [[place]])',
    "in": 'in = "ngo-5" (the id of a [[place]])', "port": 'port = "serial:/dev/serial/by-path/..."',
    "baud": "baud = 9600", "framing": 'framing = "8N1"',
    "device": 'device = "di-8" (the name of a profile)', "bus": 'bus = "rs485-1" (the id of a [[bus]])',
    "unit": "unit = 12 (the Modbus address, 1 to 247)",
    "period_s": 'period_s = 0.5 (seconds), or period_s = "max"', "input": "input = 1 (counted from 1)",
    "mount_height_m": "mount_height_m = 3.20 (metres above the street)",
    "hazard": 'hazard = "fire", "flood", "air" or "trouble"', "channel": 'channel = "ngo-12-level/depth_m"',
    "levels": "levels = [0.05, 0.15, 0.30] (lowest first)",
    "priority": "priority = 2, or one for each level", "span": "span = [4, 20]", "to": "to = [0, 5]",
    "urls": 'urls = ["mqtts://broker.ward:8883"]', "key": 'key = "<Ed25519 public key, base64>"',
    "may": 'may = ["ack", "reset", "under_control", "close"]', "kind": 'kind = "smoke_contact"',
    "listen": 'listen = "127.0.0.1:9160"', "in_flight": "in_flight = 1 (1 to 8)",
    "lat": "lat = 21.070 (degrees)", "lon": "lon = 105.790 (degrees)",
}  # fmt: skip
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]{2,45}\]")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
# Names of query fields that carry a secret in the APIs we know of.
_SECRET_FIELD: Final = re.compile(r"token|secret|passw|key|sig|auth|credential", re.IGNORECASE)


def id_fault(text: str) -> Fault:
    """Ids: [a-z0-9][a-z0-9-]{0,31}; they travel in topics, tags, file names and over the phone."""
    if _ID.fullmatch(text):
        return None
    flat = unicodedata.normalize("NFD", text[:64].replace("đ", "d").replace("Đ", "D"))
    plain = "".join(c for c in flat if not unicodedata.combining(c)).lower()
    meant = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:32].strip("-")
    return "must be 1 to 32 of a-z, 0-9 and -, and not begin with -", f'write "{meant or "ngo-5"}"'


def text_fault(text: str, longest: int = TEXT_MAX) -> Fault:
    """Text shown to people: not blank, NFC, no control or direction characters, bounded."""
    if not text.strip():
        return "is empty", "write the words that people know it by, or remove the line"
    if any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co") for c in text):
        return "has a control or invisible character in it", "type the text again by hand"
    if not unicodedata.is_normalized("NFC", text):
        return "has accents as separate characters (not NFC)", "type the text again, or save the file as NFC"
    if len(text) > longest:
        return f"has {len(text)} characters, at most {longest} fit", "shorten it"
    return None


def name_fault(text: str) -> Fault:
    """Names of places: they open a headline of 70 characters."""
    return text_fault(text, PLACE_NAME_MAX)


def framing_fault(text: str) -> Fault:
    """Data bits, parity, stop bits: 8N1, 8E1, 8O1, 8N2, 7E1 ..."""
    if re.fullmatch(r"[78][NEO][12]", text):
        return None
    return "is not data bits, parity, stop bits", 'write "8N1", "8E1", "8O1" or "8N2"'


def baud_fault(baud: int) -> Fault:
    """A speed that adapters and devices really have."""
    if baud in BAUDS:
        return None
    nearest = min(BAUDS, key=lambda b: abs(b - max(0, min(baud, 10**7))))
    return (
        "is not a usual speed of a serial line",
        f"write {nearest}, or another of {', '.join(map(str, BAUDS))}",
    )


def port_fault(text: str) -> Fault:
    """serial:PATH, tcp:HOST:PORT, rtu-tcp:HOST:PORT or virtual:NAME."""
    scheme, _, rest = text.partition(":")
    if scheme == "serial":
        if rest.startswith("/") and len(rest) > 1 and rest.isprintable() and " " not in rest:
            return None
        return "is not the full path of a serial port", 'write "serial:/dev/serial/by-path/..."'
    if scheme in ("tcp", "rtu-tcp"):
        host, _, port = rest.rpartition(":")
        if _HOST.fullmatch(host) and port.isdecimal() and port.isascii() and 0 < int(port[:6]) < 65536:
            return None
        return "is not HOST:PORT", f'write "{scheme}:192.168.1.20:{502 if scheme == "tcp" else 8899}"'
    if scheme == "virtual":
        if _ID.fullmatch(rest):
            return None
        return "is not the name of a virtual bus", 'write "virtual:rs485-1" (a-z, 0-9 and -)'
    if text.startswith("/dev/") and text.isprintable():
        return "does not say what sort of port it is", 'write "serial:" before the path'
    return "does not say what sort of port it is", 'begin with "serial:", "tcp:", "rtu-tcp:" or "virtual:"'


def port_key(text: str) -> tuple[str, str]:
    """What a port really is, to find the same one twice: the path, host:port or name without spelling."""
    scheme, _, rest = text.partition(":")
    if scheme == "serial":
        return "serial", str(PurePosixPath(rest))
    if scheme in ("tcp", "rtu-tcp"):
        host, _, port = rest.lower().rpartition(":")
        return "tcp", f"{host.rstrip('.')}:{int(port)}"
    return scheme, rest


def names_one_adapter(path: str) -> bool:
    """Whether a serial path means the same plug after a reboot.

    A by-id name is vendor_model_serial; adapters without a serial number (CH340, PL2303) or with the
    factory's (CP2102: 0001) share one name, and ttyUSB numbers follow the order of discovery.

    >>> names_one_adapter("/dev/serial/by-id/usb-1a86_USB_Serial-if00-port0")
    False
    >>> names_one_adapter("/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0")
    True
    """
    name = PurePosixPath(path).name
    if "/by-id/" not in path:
        return not re.fullmatch(r"tty(USB|ACM)\d+", name)
    stem = re.sub(r"-if\d+.*$", "", name)
    serial = stem.rpartition("_")[2]
    is_model = re.fullmatch(r"(ch|cp|pl|ft)\d{3,4}[a-z]{0,2}", serial, re.IGNORECASE)
    return bool(re.fullmatch(r"[0-9A-Za-z]{6,}", serial) and re.search(r"\d", serial) and not is_model)


def is_loopback(host: str | None) -> bool:
    """127.0.0.0/8, ::1 or localhost; no name is looked up."""
    if host is None:
        return False
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listen_fault(text: str) -> Fault:
    """HOST:PORT on this machine only: the gateway opens nothing to a network yet."""
    host, _, port = text.rpartition(":")
    if not (host and port.isdecimal() and port.isascii() and 0 < int(port[:6]) < 65536):
        return "is not HOST:PORT", 'write listen = "127.0.0.1:9160"'
    if not is_loopback(host):
        return (
            "would be open to the network, which this version does not do",
            f'write listen = "127.0.0.1:{port}"',
        )
    return None


def credential_fault(text: str) -> Fault:
    """The name of a file in the credentials folder, never a path and never the secret itself."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        return None
    return (
        "is not the name of a credential",
        'write a name like "duty-hook"; the secret stands in credentials/NAME',
    )


def key_fault(text: str) -> Fault:
    """An Ed25519 public key: base64 of 32 bytes (RFC 8032, 5.1.5)."""
    try:
        size = len(base64.b64decode(text.encode("ascii"), validate=True))
    except (binascii.Error, UnicodeEncodeError):
        return "is not base64", "write the Ed25519 public key, base64 of 32 bytes"
    if size == 32:
        return None
    return (
        f"holds {size} bytes, not 32",
        "write the Ed25519 public key (not the private one), base64 of 32 bytes",
    )


def _split(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        valid = url.hostname is not None and (url.port is None or url.port > 0)
    except ValueError:
        return None
    return url if valid and text.isprintable() and not re.search(r"\s", text) else None


def sink_url_fault(text: str, schemes: tuple[str, ...]) -> Fault:
    """The address of a server, without a secret."""
    url = _split(text)
    if url is None or url.scheme not in schemes:
        return "is not the address of such a server", f"begin with {' or '.join(s + '://' for s in schemes)}"
    if url.username or url.password or url.query:
        return "has a user, password or query in the address", "put secrets in the credential"
    return None


def webhook_url_fault(text: str) -> Fault:
    """https, or http on this machine; no secret in it: a URL ends up in logs of every proxy on the way."""
    url = _split(text)
    if url is None or url.scheme not in ("http", "https"):
        return "is not a web address", 'write url = "https://..."'
    if url.scheme == "http" and not is_loopback(url.hostname):
        return "is not encrypted", "write https:// (http:// only to this machine itself)"
    if url.username or url.password:
        return "has a user or password in it", "put the whole URL in the credential: url = ..."
    fields = [name for name, _ in parse_qsl(url.query, keep_blank_values=True)]
    parts = [*url.path.split("/"), *(value for _, value in parse_qsl(url.query))]
    if any(_SECRET_FIELD.search(name) for name in fields) or any(map(_looks_random, parts)):
        return "has a token in it", "put the whole URL in the credential: url = ... (then leave url out here)"
    return None


def _looks_random(part: str) -> bool:
    """Long pieces of letters and digits mixed: tokens of Telegram, Slack, Discord; not words-with-hyphens."""
    if re.fullmatch(r"bot\d+:.*", part):
        return True
    longest = max(re.split(r"[-._:]", part), key=len)
    return (
        len(part) >= 16
        and len(longest) >= 16
        and bool(re.search(r"\d", longest) and re.search(r"[A-Za-z]", longest))
    )
