"""Load from Python: threads that make a known number of requests, each with an id of its own.

Prints one line of JSON: {"ok": N, "failed": N, "seconds": S}. The id is in the path and in X-Request-Id.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
from collections import Counter

PATH = "/orders/{id}"


def make_requests(port: int, numbers: range, fresh: bool, counts: Counter[str]) -> None:
    """One thread's share."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number in numbers:
        try:
            path = PATH.format(id=number)
            connection.request("GET", path, headers={"X-Request-Id": str(number)})
            answer = connection.getresponse()
            body = json.loads(answer.read())
            counts["ok" if (answer.status, body["id"]) == (200, str(number)) else "failed"] += 1
        except (OSError, http.client.HTTPException, ValueError):
            counts["failed"] += 1
            connection.close()
        if fresh:
            connection.close()


def main() -> None:
    """Share the requests among the threads; tell the sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=int, default=23)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--first", type=int, default=100_000, help="the first id")
    parser.add_argument("--fresh", action="store_true", help="a connection per request")
    chosen = parser.parse_args()
    counts = [Counter[str]() for _ in range(chosen.threads)]
    end = chosen.first + chosen.requests
    threads = [
        threading.Thread(
            target=make_requests,
            args=(
                chosen.port,
                range(chosen.first + n, end, chosen.threads),
                chosen.fresh,
                counts[n],
            ),
        )
        for n in range(chosen.threads)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum(counts, Counter[str]())
    seconds = round(time.monotonic() - began, 3)
    print(json.dumps({"ok": total["ok"], "failed": total["failed"], "seconds": seconds}))


if __name__ == "__main__":
    main()
