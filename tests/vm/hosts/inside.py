"""In one of two guests that share a wire: the front host calls, the back host answers; each has a zerospan of its own.

    python -m tests.vm.hosts.inside front|back SCRATCH

What happened is left in SCRATCH: `spans-0.jsonl` as exported, and `report.json`. The front host says over the wire when
it is done (port 7000), so that the back host ends then. `spans-1.jsonl` of the front host is what the zerospan exported that uses both ways.
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

from tests.vm.harness_agent import Agent, Agents
from tests.vm.harness_guest import Servers, curl, free_port, loaded, wait_until

HERE: Final = Path(__file__).resolve().parent
ADDRESSES: Final = {"front": "10.9.0.1", "back": "10.9.0.2"}
DONE_PORT: Final = 7000
REQUESTS: Final = 23
"""Of each way; a prime number, so that nothing else gives it."""
FIRST_OF_BOTH: Final = 1000
REQUESTS_OF_BOTH: Final = 7
"""Numbers of the requests that are made with a zerospan that uses both ways."""
BOTH: Final = ("--propagate", "tcp-option", "--propagate", "http-header")
ECHO_PORT: Final = 9081
REQUEST: Final = b"GET /echo HTTP/1.1\r\nHost: back\r\n%b\r\n"
OWN_HEADER: Final = b"traceparent: 00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-00\r\n"
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
        echo = servers.python("echo.py")
        for name in ("back.conf", "back.cfg"):
            text = string.Template((HERE / name).read_text())
            places = {"directory": scratch, "backend": backend.port, "echo": echo.port}
            (scratch / name).write_text(text.substitute(places))
        agent = agents.run("--propagate", "tcp-option", "--propagate-exe", "nginx")
        servers.start(
            "nginx", "-c", scratch / "back.conf", "-e", scratch / "nginx-error.log", port=8443
        )
        servers.start("haproxy", "-f", scratch / "back.cfg", port=9443)
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
        agent = agents.run(*BOTH, "--propagate-exe", "python3*")
        echoed = _both(agent, port)
        killed = _kill_in_load(agent, port)
        wait_until(lambda: loaded() == before, deadline_s=30, what="nothing is left in the kernel")
        with socket.create_connection((ADDRESSES["back"], DONE_PORT), timeout=60):
            pass
    return {
        "ledger": finished.ledger,
        "stderr": finished.stderr,
        "echoed": echoed,
        "killed": killed,
    }


def _both(agent: Agent, port: int) -> dict[str, str]:
    """Call in each way with a zerospan that uses both; give how requests arrived on the back host."""
    for way in ("plain", "proxied", "tls"):
        for number in range(FIRST_OF_BOTH, FIRST_OF_BOTH + REQUESTS_OF_BOTH):
            _ask(port, way, number)
    _ask(port, "plain", FIRST_OF_BOTH + REQUESTS_OF_BOTH, body=bytes(2_000_000))
    echoed = {
        name: _exchange(REQUEST % headers)
        for name, headers in (("chosen", b""), ("own", OWN_HEADER))
    }
    echoed["unchosen"] = curl(f"http://{ADDRESSES['back']}:{ECHO_PORT}/echo")
    # Ours and both of the service's; of an encrypted connection nobody has a span, nor of what its own header says is not sampled.
    expected = (3 + 3 + 2) * REQUESTS_OF_BOTH + 3 + len(echoed) - 1
    agent.wait_for_spans(expected, deadline_s=MEETING_S)
    return echoed


def _exchange(request: bytes) -> str:
    """Send a request to where it is answered by itself; give the answer's body."""
    with socket.create_connection((ADDRESSES["back"], ECHO_PORT), timeout=120) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.read().decode()


def _kill_in_load(agent: Agent, port: int) -> dict[str, Any]:
    """End zerospan by SIGKILL while requests pass that carry contexts; give what became of the requests."""
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
