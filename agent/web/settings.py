"""Where the page is served, and to whom."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_PORT: Final = 4320
MIN_TOKEN: Final = 16


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Of one server; made by `web_settings`, which checks."""

    store: str
    host: str
    port: int
    token: str = ""
    """What a visitor must show; empty on a loopback address only, if at all."""
    board: int = -1
    """File descriptor of the agent's board; -1 without an agent."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this host can reach it."""
        return _is_loopback(self.host)

    @property
    def url(self) -> str:
        """What a person opens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def to_json(self) -> str:
        """One line, for a child."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WebSettings:
        """What `to_json` gave."""
        return cls(**json.loads(text))


def web_settings(address: str, *, store: Path, token: str = "") -> WebSettings:
    """ADDRESS is HOST:PORT, HOST, or :PORT (on the loopback address). ConfigError says what is wrong."""
    host, port = _split(address)
    if host == "localhost":
        host = "127.0.0.1"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ConfigError(
            f"web address {address!r}: {host!r} is no IP address; give one of this host"
        ) from None
    if token and len(token) < MIN_TOKEN:
        raise ConfigError(f"setting web_token: fewer than {MIN_TOKEN} characters can be guessed")
    if not token and not _is_loopback(host):
        raise ConfigError(
            f"web address {address!r} can be reached from elsewhere: set ZEROSPAN_WEB_TOKEN, which visitors must show"
        )
    return WebSettings(str(store), host, port, token)


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):  # no port, or a bare IPv6 address
        host, port = address, str(DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not (port.isascii() and port.isdigit() and 0 <= int(port) < 65536):
        raise ConfigError(f"web address {address!r}: {port!r} is no port")
    return host, int(port)


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback
