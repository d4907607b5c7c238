"""Where OTLP is received, and from whom."""

from __future__ import annotations

import ipaddress
import json
import urllib.parse
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from agent.errors import ConfigError
from agent.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Sequence

BOTH: Final = "otlp"
PORTS: Final = {"otlp+grpc": 4317, "otlp+http": 4318}
"""The standard ones (https://opentelemetry.io/docs/specs/otlp/)."""
MIN_TOKEN: Final = 16
FORMS: Final = "otlp, otlp+grpc://HOST[:PORT] or otlp+http://HOST[:PORT]"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one transport listens."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this host can reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def authority(self) -> str:
        """host:port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ReceiveSettings:
    """Of one server; made by `receive_settings`, which checks."""

    grpc: Place | None = None
    http: Place | None = None
    token: str = ""
    """What a sender must show; empty on loopback addresses only, if at all."""
    redaction: Redaction = field(default_factory=Redaction)
    """The operator's rules, which hold for received attributes, too."""
    channel: int = -1
    """File descriptor of the way to the agent."""

    @property
    def places(self) -> dict[str, Place]:
        """By scheme, those that listen."""
        found = {"otlp+grpc": self.grpc, "otlp+http": self.http}
        return {scheme: place for scheme, place in found.items() if place is not None}

    @property
    def ports(self) -> frozenset[int]:
        """Those that listen."""
        return frozenset(place.port for place in self.places.values())

    def to_json(self) -> str:
        """One line, for a child."""
        table = {**asdict(self), "redaction": msgspec.to_builtins(self.redaction)}
        return json.dumps(table)

    @classmethod
    def from_json(cls, text: str) -> ReceiveSettings:
        """What `to_json` gave."""
        return msgspec.json.decode(text, type=cls)


def receive_settings(
    urls: Sequence[str], *, token: str = "", redaction: Redaction | None = None
) -> ReceiveSettings | None:
    """None without any. ConfigError says what is wrong."""
    if not urls:
        return None
    if token and len(token) < MIN_TOKEN:
        raise ConfigError(
            f"setting receive_token: fewer than {MIN_TOKEN} characters can be guessed"
        )
    places: dict[str, Place] = {}
    for url in urls:
        named = [f"{scheme}://127.0.0.1" for scheme in PORTS] if url == BOTH else [url]
        for one in named:
            scheme, place = _place(one)
            if scheme in places:
                raise ConfigError(f"--receive: {scheme} is given twice")
            if not token and not place.is_loopback:
                raise ConfigError(
                    f"--receive: {url!r} can be reached from elsewhere: set ZEROSPAN_RECEIVE_TOKEN, which senders must show"
                )
            places[scheme] = place
    return ReceiveSettings(
        grpc=places.get("otlp+grpc"),
        http=places.get("otlp+http"),
        token=token,
        redaction=redaction or Redaction(),
    )


def _place(url: str) -> tuple[str, Place]:
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
        ipaddress.ip_address(host)
    except ValueError:
        raise ConfigError(
            f"--receive: {url!r} is none of {FORMS}, with an IP address of this host"
        ) from None
    rest = parts.path.rstrip("/") + parts.query + parts.fragment
    if parts.scheme not in PORTS or rest or "@" in parts.netloc or port == 0:
        raise ConfigError(f"--receive: {url!r} is none of {FORMS}")
    return parts.scheme, Place(host, port or PORTS[parts.scheme])
