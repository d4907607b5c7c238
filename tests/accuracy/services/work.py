"""The shapes of work for services on threads (tests/accuracy/cases.py says what each is). Ports come in BACKEND, NEXT."""

from __future__ import annotations

import http.client
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

BACKEND = int(os.environ["BACKEND"])
NEXT = int(os.environ.get("NEXT") or 0)

kept_connections = threading.local()
pool: queue.LifoQueue[http.client.HTTPConnection] = queue.LifoQueue()
workers = ThreadPoolExecutor(64)
"""Starts its threads when they are needed: after a fork."""


def ask(connection: http.client.HTTPConnection, path: str, number: str) -> None:
    """Make one request; the answer must be its id."""
    connection.request("GET", path, headers={"X-Request-Id": number})
    answer = connection.getresponse().read().decode()
    if answer != number:
        raise RuntimeError(f"{path} was answered by {answer[:100]}")


def fresh(path: str, number: str) -> None:
    """On a connection for this call alone."""
    connection = http.client.HTTPConnection("127.0.0.1", BACKEND)
    try:
        ask(connection, path, number)
    finally:
        connection.close()


def kept(path: str, number: str, port: int = BACKEND) -> None:
    """On this thread's connection."""
    connections = kept_connections.__dict__
    if str(port) not in connections:
        connections[str(port)] = http.client.HTTPConnection("127.0.0.1", port)
    ask(connections[str(port)], path, number)


def pooled(path: str, number: str) -> None:
    """On any connection that nobody uses."""
    try:
        connection = pool.get_nowait()
    except queue.Empty:
        connection = http.client.HTTPConnection("127.0.0.1", BACKEND)
    ask(connection, path, number)
    pool.put(connection)


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
            fresh(path, number)
        case "kept" | "inner":
            kept(path, number)
        case "pooled":
            pooled(path, number)
        case "sequence":
            for call in range(3):
                kept(f"/work/{number}/{call}", number)
        case "fan":
            at_once(partial(pooled, f"/work/{number}/{call}", number) for call in range(3))
        case "sleep":
            time.sleep(0.02)
            kept(path, number)
        case "worker":
            workers.submit(pooled, path, number).result()
        case "hops":
            kept(f"/inner/{number}", number, NEXT)
    return number


def finish(shape: str, number: str) -> None:
    """Do what is left after the response."""
    if shape == "after":
        threading.Thread(target=_later, args=(number,)).start()


def _later(number: str) -> None:
    time.sleep(0.01)
    pooled(f"/work/{number}/0", number)
