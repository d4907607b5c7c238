"""The HTTP server: a few threads, everything bounded. The only module that knows waitress.

A request that never lets go of the interpreter (a pattern that takes for ever, say) would hold up all others: if no
other thread gets a turn for HANG_S, the process says where it hangs, and ends; the agent starts another one.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import waitress.server

from agent.errors import ConfigError
from agent.web.app import make_app
from agent.web.readers import Readers

if TYPE_CHECKING:
    from agent.web.settings import WebSettings

logger = logging.getLogger(__name__)

THREADS: Final = 4
CONNECTIONS: Final = 64
IDLE_S: Final = 30
MAX_HEADER: Final = 32 * 1024
MAX_BODY: Final = 1024
"""Requests have none."""
HANG_S: Final = 40.0


class Server:
    """Listens from the moment it is made. ConfigError if it cannot."""

    def __init__(self, settings: WebSettings) -> None:
        app = make_app(settings, Readers(Path(settings.store)))
        listening = _listen(settings)
        self.port: int = listening.getsockname()[1]
        self._server = waitress.server.create_server(
            app,
            sockets=[listening],
            threads=THREADS,
            connection_limit=CONNECTIONS,
            channel_timeout=IDLE_S,
            cleanup_interval=IDLE_S,
            max_request_header_size=MAX_HEADER,
            max_request_body_size=MAX_BODY,
            ident=None,
            clear_untrusted_proxy_headers=True,
        )
        logging.getLogger("waitress").setLevel(logging.ERROR)
        if not settings.is_loopback:
            logger.warning(
                "the page can be reached from elsewhere on %s, without TLS: the token and all traces travel in clear text",
                settings.url,
            )

    def run(self) -> None:
        """Serve until `close`."""
        self._server.run()

    def close(self) -> None:
        """Stop; from any thread."""
        self._server.close()


def serve(settings: WebSettings) -> None:
    """Serve until SIGTERM or SIGINT, in the main thread."""
    server = Server(settings)
    _watch_for_hangs()

    def stop(*_: object) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.run()


def _listen(settings: WebSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"the page cannot be served on {settings.host}:{settings.port}: {error.strerror}"
        ) from error


def _watch_for_hangs() -> None:
    def keep_alive() -> None:
        while True:
            faulthandler.dump_traceback_later(HANG_S, exit=True, file=2)
            time.sleep(HANG_S / 8)

    threading.Thread(target=keep_alive, name="watchdog", daemon=True).start()
