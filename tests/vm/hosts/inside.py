"""In one of two guests that share a wire: the front host calls, the back host answers; each has a zerospan of its own.

    python -m tests.vm.hosts.inside front|back SCRATCH

What happened is left in SCRATCH: `spans-0.jsonl` as exported, and `report.json`. The front host says over the wire when
it is done (port 7000), so that the back host ends then.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import string
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from tests.vm.harness_agent import Agents
from tests.vm.harness_guest import Servers, free_port, loaded, wait_until

HERE: Final = Path(__file__).resolve().parent
ADDRESSES: Final = {"front": "10.9.0.1", "back": "10.9.0.2"}
DONE_PORT: Final = 7000
REQUESTS: Final = 23
"""Of each way; a prime number, so that nothing else gives it."""
MEETING_S: Final = 240.0
LOAD_THREADS: Final = 4


def configure(side: str) -> None:
    """Give the wire's end its address."""
    (name,) = (path.name for path in Path("/sys/class/net").iterdir() if path.name != "lo")
    for words in (
        ("ip", "address", "add", f"{ADDRESSES[side]}/24", "dev", name),
        ("ip", "link", "set", name, "up"),
    ):
        subprocess.run(words, check=True)


def back(scratch: Path) -> dict[str, Any]:
    """Answer until the front host is done."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=back"),
            *("-keyout", scratch / "key.pem", "-out", scratch / "certificate.pem"),
        ],
        check=True,
        capture_output=True,
    )
    with Servers(scratch) as servers, Agents(scratch) as agents:
        before = loaded()
        backend = servers.python("backend.py")
        config = scratch / "back.conf"
        text = (HERE / "back.conf").read_text()
        config.write_text(string.Template(text).substitute(directory=scratch, backend=backend.port))
        agent = agents.run("--propagate", "tcp-option", "--propagate-exe", "nginx")
        servers.start("nginx", "-c", config, "-e", scratch / "nginx-error.log", port=8443)
        servers.start("haproxy", "-f", HERE / "back.cfg", port=9443)
        with socket.create_server((ADDRESSES["back"], DONE_PORT)) as listener:
            listener.settimeout(MEETING_S * 2)
            listener.accept()[0].close()
        finished = agent.stop()
        wait_until(lambda: loaded() == before, deadline_s=30, what="nothing is left in the kernel")
    return {"ledger": finished.ledger, "stderr": finished.stderr}


def front(scratch: Path) -> dict[str, Any]:
    """Call the back host in each way; then kill zerospan in the middle of load."""
    with Servers(scratch) as servers, Agents(scratch) as agents:
        before = loaded()
        wait_until(lambda: _answers(9443), deadline_s=MEETING_S, what="the back host answers")
        port = free_port()
        agent = agents.run("--propagate", "tcp-option", "--propagate-exe", "python3*")
        servers.start(
            *("/usr/bin/python3", HERE / "calls.py", "--port", str(port)),
            *("--back", ADDRESSES["back"]),
            port=port,
        )
        for way in ("plain", "tls", "through"):
            for number in range(REQUESTS):
                _ask(port, way, number)
        # Many segments, of which only the first carries the context.
        _ask(port, "plain", REQUESTS, body=bytes(2_000_000))
        agent.wait_for_spans(5 * REQUESTS)
        finished = agent.stop()
        killed = _kill_in_load(agents, port, scratch)
        wait_until(lambda: loaded() == before, deadline_s=30, what="nothing is left in the kernel")
        with socket.create_connection((ADDRESSES["back"], DONE_PORT), timeout=60):
            pass
    return {"ledger": finished.ledger, "stderr": finished.stderr, "killed": killed}


def _kill_in_load(agents: Agents, port: int, scratch: Path) -> dict[str, Any]:
    """End zerospan by SIGKILL while requests pass that carry contexts; give what became of the requests."""
    agent = agents.run("--propagate", "tcp-option", "--propagate-exe", "python3*")
    answered: list[int] = [0] * LOAD_THREADS
    troubles: list[str] = []
    stopping = threading.Event()

    def load(mine: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        number = 1_000_000 * (mine + 1)
        while not stopping.is_set():
            number += 1
            try:
                connection.request("GET", f"/plain/{number}")
                answer = connection.getresponse()
                told = json.loads(answer.read())
                if answer.status != 200 or told["id"] != f"plain-{number}":
                    troubles.append(f"{number}: {answer.status} {told}")
                answered[mine] += 1
            except (OSError, http.client.HTTPException, ValueError) as error:
                troubles.append(f"{number}: {error!r}")
                connection.close()

    threads = [threading.Thread(target=load, args=(mine,)) for mine in range(LOAD_THREADS)]
    for thread in threads:
        thread.start()

    def everybody_has(count: int) -> bool:
        return bool(troubles) or all(done >= count for done in answered)

    wait_until(lambda: everybody_has(20), deadline_s=120, what="load before the kill")
    os.kill(agent.pid, signal.SIGKILL)
    agent.process.wait()
    at_kill = list(answered)
    wait_until(lambda: everybody_has(max(at_kill) + 20), deadline_s=120, what="load after the kill")
    stopping.set()
    for thread in threads:
        thread.join()
    del scratch
    return {"before": at_kill, "after": answered, "troubles": troubles[:10]}


def _ask(port: int, way: str, number: int, body: bytes | None = None) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST" if body else "GET", f"/{way}/{number}", body)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    assert answer.status == 200, answer.status
    assert told["id"] == f"{way}-{number}", told
    assert told["received"] == len(body or b""), told
    connection.close()


def _answers(port: int) -> bool:
    try:
        socket.create_connection((ADDRESSES["back"], port), timeout=5).close()
    except OSError:
        time.sleep(0.5)
        return False
    return True


def main() -> int:
    """Give 0 when this host did its part."""
    side, scratch = sys.argv[1], Path(sys.argv[2])
    configure(side)
    report = front(scratch) if side == "front" else back(scratch)
    (scratch / "report.json").write_text(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
