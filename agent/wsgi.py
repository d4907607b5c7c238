"""HTTP servers: a few threads, everything bounded. The only module that knows waitress."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any, Final

import waitress.server

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

THREADS: Final = 4
CONNECTIONS: Final = 64
IDLE_S: Final = 60
MAX_HEADER: Final = 32 * 1024


class WsgiServer:
    """Listens from the moment it is made."""

    def __init__(
        self,
        app: Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]],
        host: str,
        port: int,
        *,
        max_body: int,
        failing: str,
    ) -> None:
        """Raises ConfigError, which begins with `failing`, if the address cannot be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listening = socket.create_server((host, port), family=family)
        except OSError as error:
            place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise ConfigError(f"{failing} on {place}: {error.strerror}") from error
        self.port: int = listening.getsockname()[1]
        self._server = waitress.server.create_server(
            app,
            sockets=[listening],
            threads=THREADS,
            connection_limit=CONNECTIONS,
            channel_timeout=IDLE_S,
            cleanup_interval=IDLE_S,
            max_request_header_size=MAX_HEADER,
            max_request_body_size=max_body + 1,  # it refuses what is as long as its bound
            ident=None,
            clear_untrusted_proxy_headers=True,
        )
        self._is_closed = False
        logging.getLogger("waitress").setLevel(logging.ERROR)

    def run(self) -> None:
        """Serve until `close`."""
        try:
            self._server.run()
        except OSError:  # `close` has taken the sockets from under its loop
            if not self._is_closed:
                raise

    def close(self) -> None:
        """Stop; from any thread."""
        self._is_closed = True
        self._server.close()
