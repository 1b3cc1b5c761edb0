"""Wires the real outside together: the machine's clocks, serial ports, threads and ways to reach people."""

import random
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drivers.port import Port, PortError, SerialPort
from drivers.tcp import Resolve, TcpPort
from edge.clock import Clock, SystemClock
from edge.config import Config
from edge.credentials import Credential
from edge.service import Hooks, Outside
from edge.threads import Worker
from gateway.forward import Sink
from gateway.notifiers.absent import Absent
from gateway.teller import Notifier
from models.site import Bus
from models.site import Notifier as Told
from models.site import Sink as SiteSink


def outside(config: Config, virtual_dir: Path | None) -> Outside:
    """All that a real agent touches. `virtual_dir`: where `wardwatch virtual` made its ptys."""
    clock = SystemClock()
    return Outside(
        clock=clock,
        open_port=port_opener(virtual_dir),
        notifiers=[_notifier(one, config, clock) for one in config.site.notifier],
        blocking=Worker,
        rng=random.Random(),
        sinks=lambda hooks: _sinks(config, clock, hooks),
    )


def port_opener(virtual_dir: Path | None) -> Callable[[Bus], Port]:
    """How a bus's port is opened: a serial device, a TCP endpoint, or the pty that `wardwatch virtual` made."""

    def open_port(bus: Bus) -> Port:
        scheme, _, rest = bus.port.partition(":")
        if scheme == "serial":
            return SerialPort(rest, bus.baud, bus.framing)
        if scheme in ("tcp", "rtu-tcp"):
            host, _, port = rest.rpartition(":")
            return TcpPort(host, int(port), resolver(f"names[{bus.id}]"))
        if virtual_dir is None:
            return NoPort(f"{bus.port}: say where the virtual ports are, with --virtual DIR")
        return SerialPort(str(virtual_dir / rest), bus.baud, bus.framing)

    return open_port


def resolver(name: str) -> Resolve:
    """Looks names up in a thread of its own, which is made when the first name comes."""
    workers: list[Worker] = []

    def look_up(host: str) -> list[str]:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    async def resolve(host: str) -> list[str]:
        if not workers:
            workers.append(Worker(name))
        return await workers[0](lambda: look_up(host))

    return resolve


@dataclass(frozen=True, slots=True)
class NoPort:
    """A port that cannot be opened on this machine; its bus is down, and says why."""

    reason: str

    async def open(self, received: Callable[[bytes], None], lost: Callable[[PortError], None]) -> None:
        """Refuses."""
        raise PortError(self.reason)

    def write(self, data: bytes) -> None:
        """Never open."""
        raise PortError(self.reason)

    def close(self) -> None:
        """Nothing is held."""


def _sinks(config: Config, clock: Clock, hooks: Hooks) -> tuple[Sink, ...]:
    """Each kind's library is imported only when a site uses it."""
    made: list[Sink] = []
    for one in config.site.sink:
        secret = config.credentials.get(one.credential) if one.credential else None
        made.append(
            _influx(one, secret, clock) if one.kind == "influx" else _mqtt(one, secret, config, clock, hooks)
        )
    return tuple(made)


def _influx(one: SiteSink, secret: Credential | None, clock: Clock) -> Sink:
    from gateway.influx import Influx

    return Influx(
        one.id,
        one.urls,
        one.bucket or "",
        one.org,
        secret.token if secret else None,
        _wall(clock),
        compress=one.compress,
        ca=secret.ca if secret else None,
        cert=secret.cert if secret else None,
    )


def _mqtt(one: SiteSink, secret: Credential | None, config: Config, clock: Clock, hooks: Hooks) -> Sink:
    from gateway.mqtt import Mqtt
    from gateway.mqtt_client import Access

    gateway = config.site.gateway.id
    is_only = sum(sink.kind == "mqtt" for sink in config.site.sink) == 1
    access = Access(gateway if is_only else f"{gateway}-{one.id}")
    if secret is not None:
        access = Access(access.client_id, secret.user, secret.password, secret.ca, secret.cert)
    return Mqtt(
        one.id,
        one.urls,
        f"{config.site.ward.id}/{gateway}",
        access,
        resolve=resolver(f"names[{one.id}]"),
        status=hooks.status,
        act=hooks.signed,
        wall=_wall(clock),
        random=random.Random(),
        compress=one.compress,
    )


def _wall(clock: Clock) -> Callable[[], tuple[int, bool]]:
    def wall() -> tuple[int, bool]:
        now = clock.wall()
        return now.ns, now.synced

    return wall


def _notifier(one: Told, config: Config, clock: Clock) -> Notifier:
    """Each kind's library is imported only when a site uses it."""
    secret = config.credentials.get(one.credential) if one.credential else None
    if one.credential and secret is None:
        return Absent(one.id, f"credential {one.credential} is absent: put it in place and restart")
    match one.kind:
        case "webhook":
            return _webhook(one, secret, clock)
        case "apprise":
            from gateway.notifiers.apprise import Apprise

            assert secret is not None
            assert secret.url is not None
            return Apprise(one.id, secret.url, Worker(f"tell[{one.id}]"))
        case kind:
            return Absent(one.id, f"{kind} comes with a later version")


def _webhook(one: Told, secret: Credential | None, clock: Clock) -> Notifier:
    from gateway.notifiers.webhook import Webhook, signing_key

    url = one.url or (secret.url if secret else None)
    if url is None:
        return Absent(one.id, f"credential {one.credential} holds no url")

    tls: ssl.SSLContext | None = None
    if secret is not None and secret.ca is not None:
        try:
            tls = ssl.create_default_context(cafile=secret.ca)
        except OSError as error:
            return Absent(one.id, f"the ca file of its credential cannot be used: {error.strerror}")
    key = signing_key(secret.key) if secret is not None and secret.key is not None else None
    return Webhook(one.id, url, key, _wall(clock), tls=tls)
