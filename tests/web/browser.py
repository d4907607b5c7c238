"""A headless Chromium for tests, by the WebDriver protocol (https://www.w3.org/TR/webdriver2/): a page of code, and no
package to depend on."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"ArrowDown": "\ue015", "ArrowUp": "\ue013", "ArrowLeft": "\ue012", "ArrowRight": "\ue014", "Enter": "\ue007",
        "Escape": "\ue00c", "End": "\ue010", "Home": "\ue011", "Tab": "\ue004"}  # fmt: skip
DEADLINE_S = 60.0


def is_installed() -> bool:
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


class Browser:
    """One window. `with Browser() as browser:`"""

    def __init__(self, *, is_dark: bool = False) -> None:
        self._profile = tempfile.TemporaryDirectory()
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )  # fmt: skip
        assert self._driver.stdout is not None
        for line in self._driver.stdout:
            if "started successfully on port" in line:
                port = int(line.rsplit(" ", 1)[1].strip().rstrip("."))
                break
        else:
            raise RuntimeError("chromedriver did not start")
        self._base = f"http://127.0.0.1:{port}"
        arguments = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--window-size=1400,900", "--force-device-scale-factor=1", f"--user-data-dir={self._profile.name}",
        ]  # fmt: skip
        if is_dark:
            arguments.append("--blink-settings=preferredColorScheme=0")
        options = {"args": arguments, "binary": shutil.which("chromium")}
        capabilities = {
            "alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        }
        found = self._call("POST", "/session", {"capabilities": capabilities})
        self._session = f"/session/{found['sessionId']}"

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._call("DELETE", self._session)
        finally:
            self._driver.terminate()
            self._driver.wait()
            assert self._driver.stdout is not None
            self._driver.stdout.close()
            self._profile.cleanup()

    def open(self, url: str) -> None:
        self._call("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """`script` is the body of a function of these arguments."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})  # fmt: skip

    def until(self, expression: str, *arguments: Any) -> Any:
        """Wait for the expression to be true; its value."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            value = self.run(f"return {expression}", *arguments)
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"{expression} is not; the page says: {self.text('body')[:600]}")

    def text(self, selector: str) -> str:
        found = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText).join('\\n')",
            selector,
        )
        return str(found)

    def click(self, selector: str) -> None:
        self.until("document.querySelector(arguments[0])", selector)
        self.run(
            "const e = document.querySelector(arguments[0]);"
            "e.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))",
            selector,
        )

    def press(self, *keys: str) -> None:
        """As a person does: the element that has the focus gets them."""
        actions = [
            {"type": kind, "value": KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")
        ]  # fmt: skip
        self._call("POST", f"{self._session}/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})  # fmt: skip

    def type(self, text: str) -> None:
        self.press(*text)

    def complaints(self) -> list[str]:
        """What the console said since the last time: errors of scripts, refused content."""
        found = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in found if entry["level"] in ("SEVERE", "WARNING")]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", f"{self._session}/screenshot")))

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self._base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:600]) from error
