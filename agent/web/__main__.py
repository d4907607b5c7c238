"""The server as a child of the agent: `python -m agent.web`, settings on the first line of standard input.

Standard input stays open as long as the agent lives; with its end the child ends, however the agent did.
"""

from __future__ import annotations

import logging
import os
import sys
import threading

from agent.errors import AgentError
from agent.priority import give_up_priority
from agent.web.server import serve
from agent.web.settings import WebSettings


def main() -> None:
    """Serve until the agent ends."""
    logging.basicConfig(level="INFO", format="%(levelname)s web: %(message)s", stream=sys.stderr)
    give_up_priority()
    settings = WebSettings.from_json(sys.stdin.readline())

    def end_with_the_agent() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_the_agent, name="end", daemon=True).start()
    try:
        serve(settings)
    except AgentError as error:
        sys.stderr.write(f"zerospan: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
