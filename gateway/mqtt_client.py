"""The client of one MQTT 5 connection: what aiomqtt drops, kept. The only file that knows aiomqtt and paho.

PUBACK reasons (a refused publish looks like a success in the library), the broker's packet limit, the reason of a
disconnect, and incoming messages acknowledged after they were acted on. The connection goes to an address; the
certificate is compared with the name. Make a fresh client for each connection.
"""

import asyncio
import logging
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any, Final

import aiomqtt
from aiomqtt import Message as Incoming
from aiomqtt import MqttError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.http_words import tls_words
from gateway.outcome import Fault

__all__ = ["Access", "Client", "Incoming", "MqttError", "TakenOver", "client", "properties", "why"]

KEEPALIVE_S: Final = 10
CONNECT_S: Final = 15.0
SESSION_S: Final = 300
JAM_PACKETS_MAX: Final = 64
MESSAGES_MAX: Final = 64
REFUSALS: Final = frozenset({132, 133, 134, 135, 138, 140, 144, 157})  # protocol, id, password, rights, topic
TAKEN_OVER: Final = 142
# The library's own lines hold payloads and addresses.
_QUIET: Final = logging.Logger("gateway.mqtt.library", logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Access:
    """How to get in. All but the name of the client stay out of `repr`."""

    client_id: str
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)
    cert: str | None = field(default=None, repr=False)


class _Named(ssl.SSLContext):
    """Checks the certificate against a name though the connection goes to an address."""

    name: str

    def wrap_socket(self, sock: socket.socket, *args: Any, **more: Any) -> ssl.SSLSocket:
        """As the base class, for `name`."""
        return super().wrap_socket(sock, *args, **{**more, "server_hostname": self.name})


class Client(aiomqtt.Client):
    """Keeps what the library drops: PUBACK reasons, the broker's packet limit, the reason of a disconnect."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.acks: dict[int, asyncio.Future[int]] = {}
        self.packet_bytes_max: int | None = None
        self.end_code = 0
        self._client.manual_ack_set(True)
        self._client.connect_timeout = 5.0

    async def put(
        self, topic: str, payload: bytes | None, *, retain: bool, properties: Properties | None
    ) -> int:
        """Publish with QoS 1; gives the PUBACK's reason code. Raises MqttError when the connection ends first."""
        info = self._client.publish(topic, payload, 1, retain, properties)
        if info.rc != 0:
            raise MqttError("the broker takes nothing")
        ack = self.acks[info.mid] = self._loop.create_future()
        try:
            await asyncio.wait({ack, self._disconnected}, return_when=asyncio.FIRST_COMPLETED)
            if not ack.done():
                raise MqttError("the connection ended")
            code: int = ack.result()
            return code
        finally:
            self.acks.pop(info.mid, None)

    def throw(self, topic: str, payload: bytes) -> bool:
        """Publish with QoS 0 without waiting; False when the broker takes no bytes."""
        if len(self._client._out_packet) > JAM_PACKETS_MAX:
            return False
        return bool(self._client.publish(topic, payload, 0).rc == 0)

    def done(self, message: Incoming) -> None:
        """Acknowledge an incoming message to the broker."""
        self._client.ack(message.mid, message.qos)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        if (ack := self.acks.get(mid)) is not None and not ack.done():
            ack.set_result(int(reason_code.value))

    def _on_connect(self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any = None) -> None:
        self.packet_bytes_max = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(client, userdata, flags, code, properties)

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any = None
    ) -> None:
        self.end_code = int(getattr(code, "value", 0))
        super()._on_disconnect(client, userdata, flags, code, properties)


class TakenOver(MqttError):
    """Another client came with our id."""


def client(address: str, port: int, name: str | None, access: Access, will: tuple[str, bytes]) -> Client:
    """A client for one connection; `name` = whom the certificate must name, None = no TLS. Raises OSError."""
    wanted = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    wanted.SessionExpiryInterval = SESSION_S  # commands given during a short outage still come
    return Client(
        address,
        port,
        identifier=access.client_id,
        username=access.user,
        password=access.password,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=False,
        properties=wanted,
        will=aiomqtt.Will(*will, qos=1, retain=True),
        keepalive=KEEPALIVE_S,
        timeout=CONNECT_S,
        tls_context=None if name is None else _tls(name, access),
        max_queued_incoming_messages=MESSAGES_MAX,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        logger=_QUIET,
    )


def _tls(name: str, access: Access) -> ssl.SSLContext:
    tls = _Named(ssl.PROTOCOL_TLS_CLIENT)
    tls.name = name
    if access.ca is not None:
        tls.load_verify_locations(access.ca)
    else:
        tls.load_default_certs()
    if access.cert is not None:
        tls.load_cert_chain(access.cert)
    return tls


def properties(words: dict[str, Any]) -> Properties:
    """User properties of a message."""
    wanted = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    wanted.UserProperty = [(name, str(value)) for name, value in words.items()]
    return wanted


def why(problem: BaseException, synced: bool) -> tuple[Fault, str]:
    """Whose fault it is, in words without address or password."""
    text = str(problem)
    if isinstance(problem, TakenOver):
        return Fault.TAKEN_OVER, "another client took over our client id"
    if isinstance(problem, ssl.SSLError) or "CERTIFICATE" in text or "SSL" in text:
        return Fault.AWAY, tls_words(text, synced)
    if isinstance(problem, aiomqtt.MqttCodeError) and getattr(problem.rc, "value", 0) in REFUSALS:
        return Fault.REFUSING, f"the broker refuses us: {problem.rc}"
    if isinstance(problem, socket.gaierror):
        return Fault.AWAY, "the name does not resolve"
    if isinstance(problem, TimeoutError) or "timed out" in text:
        return Fault.AWAY, "no answer in time"
    if "refused" in text:
        return Fault.AWAY, "cannot connect: Connection refused"
    return Fault.AWAY, "the connection ended"
