"""The HTTP server of the page.

A request that never lets go of the interpreter (a pattern that takes for ever, say) would hold up all others: if no
other thread gets a turn for HANG_S, the process says where it hangs, and ends; the agent starts another one.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from agent.web.app import make_app
from agent.web.readers import Readers
from agent.wsgi import WsgiServer

if TYPE_CHECKING:
    from agent.web.settings import WebSettings

logger = logging.getLogger(__name__)

MAX_BODY: Final = 1024
"""Requests have none."""
HANG_S: Final = 40.0


class Server:
    """Listens from the moment it is made. ConfigError if it cannot."""

    def __init__(self, settings: WebSettings) -> None:
        app = make_app(settings, Readers(Path(settings.store)))
        self._server = WsgiServer(
            app,
            settings.host,
            settings.port,
            max_body=MAX_BODY,
            failing="the page cannot be served",
        )
        self.port = self._server.port
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


def _watch_for_hangs() -> None:
    def keep_alive() -> None:
        while True:
            faulthandler.dump_traceback_later(HANG_S, exit=True, file=2)
            time.sleep(HANG_S / 8)

    threading.Thread(target=keep_alive, name="watchdog", daemon=True).start()
