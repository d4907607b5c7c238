"""redis-py: pipelines as it sends them, transactions, errors in them, many commands.

Prints `ready`, waits for a line, and then prints what it did as JSON.
"""

from __future__ import annotations

import json
import sys

import redis

VALUE = "hunter2" * 10


def main() -> None:
    """Talk to the server at the port of the first argument."""
    client = redis.Redis(port=int(sys.argv[1]))
    transaction = 5
    with client.pipeline() as pipe:
        for number in range(transaction):
            pipe.set(f"cart:{number}", VALUE)
        pipe.execute()
    client.rpush("list", "a")
    with client.pipeline(transaction=False) as pipe:
        for command in (("GET", "cart:1"), ("INCR", "list"), ("GET", "list"), ("GET", "cart:none")):
            pipe.execute_command(*command)
        answers = pipe.execute(raise_on_error=False)
    # What comes now is more than is captured of a connection of which nothing is known yet.
    print("ready", flush=True)
    sys.stdin.readline()
    with client.pipeline(transaction=False) as pipe:
        for number in range(120):
            pipe.set(f"order:{number}", VALUE)
        pipe.execute()
    with client.pipeline(transaction=False) as pipe:
        for number in range(120):
            pipe.get(f"order:{number}")
        pipe.execute()
    failures = sum(isinstance(answer, redis.ResponseError) for answer in answers)
    print(json.dumps({"transaction": transaction, "failures": failures}))


if __name__ == "__main__":
    main()
