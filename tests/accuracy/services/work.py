"""The shapes of work for services on threads (tests/accuracy/cases.py says what each is). Ports come in BACKEND, NEXT."""

from __future__ import annotations

import http.client
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

BACKEND = int(os.environ["BACKEND"])
NEXT = int(os.environ.get("NEXT") or 0)

kept_connections = threading.local()
pool: queue.LifoQueue[http.client.HTTPConnection] = queue.LifoQueue()
workers = ThreadPoolExecutor(64)
"""Starts its threads when they are needed: after a fork."""


def ask(connection: http.client.HTTPConnection, path: str, number: str) -> str:
    """Make one request; the answer must be its id."""
    connection.request("GET", path, headers={"X-Request-Id": number})
    answer = connection.getresponse().read().decode()
    if answer != number:
        raise RuntimeError(f"{path} was answered by {answer[:100]}")
    return answer


def fresh(path: str, number: str) -> str:
    """On a connection for this call alone."""
    connection = http.client.HTTPConnection("127.0.0.1", BACKEND)
    try:
        return ask(connection, path, number)
    finally:
        connection.close()


def kept(path: str, number: str, port: int = BACKEND) -> str:
    """On this thread's connection."""
    connections = kept_connections.__dict__
    if port not in connections:
        connections[port] = http.client.HTTPConnection("127.0.0.1", port)
    return ask(connections[port], path, number)


def pooled(path: str, number: str) -> str:
    """On any connection that nobody uses."""
    try:
        connection = pool.get_nowait()
    except queue.Empty:
        connection = http.client.HTTPConnection("127.0.0.1", BACKEND)
    answer = ask(connection, path, number)
    pool.put(connection)
    return answer


def at_once(calls: Iterable[Callable[[], object]]) -> None:
    """Each in a thread of its own."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def answer(shape: str, number: str) -> str:
    """Do the work of a request before its response; give the response's body."""
    path = f"/work/{number}/0"
    match shape:
        case "one":
            return fresh(path, number)
        case "kept" | "inner":
            return kept(path, number)
        case "pooled":
            return pooled(path, number)
        case "sequence":
            return "".join({kept(f"/work/{number}/{call}", number) for call in range(3)})
        case "fan":
            answers: set[str] = set()
            at_once(
                lambda call=call: answers.add(pooled(f"/work/{number}/{call}", number))
                for call in range(3)
            )
            return "".join(answers)
        case "sleep":
            time.sleep(0.02)
            return kept(path, number)
        case "worker":
            return workers.submit(pooled, path, number).result()
        case "hops":
            return kept(f"/inner/{number}", number, NEXT)
        case _:
            return number


def finish(shape: str, number: str) -> None:
    """Do what is left after the response."""
    if shape == "after":
        threading.Thread(target=_later, args=(number,)).start()


def _later(number: str) -> None:
    time.sleep(0.01)
    pooled(f"/work/{number}/0", number)
