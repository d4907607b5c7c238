"""The server as a child of the agent: `python -m agent.receive`, settings on the first line of standard input.

Standard input stays open as long as the agent lives; with its end the child ends, however the agent did. Each transport is
imported where it is asked for only: grpcio takes 18 MB.
"""
# ruff: noqa: PLC0415  # the imports inside the functions are their purpose

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from agent.errors import AgentError
from agent.priority import give_up_priority
from agent.receive.channel import Channel
from agent.receive.intake import Intake
from agent.receive.settings import ReceiveSettings
from agent.redaction import Policy

if TYPE_CHECKING:
    from agent.receive.grpc import GrpcServer
    from agent.receive.http import HttpServer

logger = logging.getLogger(__name__)


def serve(settings: ReceiveSettings) -> None:
    """Start what is asked for."""
    channel = Channel(socket.socket(fileno=settings.channel))
    intake = Intake(channel.deliver, Policy(settings.redaction))
    servers: list[GrpcServer | HttpServer] = []
    if settings.grpc is not None:
        from agent.receive.grpc import GrpcServer

        servers.append(GrpcServer(settings.grpc, intake, token=settings.token))
    if settings.http is not None:
        from agent.receive.http import HttpServer

        servers.append(HttpServer(settings.http, intake, token=settings.token))
    for server in servers:
        server.start()
    for scheme, place in settings.places.items():
        if not place.is_loopback:
            logger.warning(
                "%s://%s can be reached from elsewhere, without TLS: the token and all spans travel in clear text",
                scheme,
                place.authority,
            )


def main() -> None:
    """Serve until the agent ends."""
    logging.basicConfig(
        level="INFO", format="%(levelname)s receive: %(message)s", stream=sys.stderr
    )
    give_up_priority()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the agent, which ends this
    try:
        serve(ReceiveSettings.from_json(sys.stdin.readline()))
    except AgentError as error:
        sys.stderr.write(f"zerospan: {error}\n")
        sys.stderr.flush()
        os._exit(2)  # a server that has begun has threads
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
