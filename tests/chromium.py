"""Headless Chromium, driven through chromedriver and the WebDriver protocol over plain HTTP."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    ),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"),
)
KEYS = {"left": "\ue012", "up": "\ue013", "right": "\ue014", "down": "\ue015", "tab": "\ue004"}


class Chromium:
    """A window of Chromium."""

    def __init__(self, address: str) -> None:
        self.address = address

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send a command of the WebDriver protocol."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error

    def devtools(self, command: str, **params: Any) -> Any:
        """Send a command of the DevTools protocol."""
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def screen(
        self, width: int, height: int, ratio: float = 1.0, *, scheme: str = "light", mobile: bool = False
    ) -> None:
        """Set size in CSS pixels, device pixels per CSS pixel, and the colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": mobile}
        self.devtools("Emulation.setDeviceMetricsOverride", **size)
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, address: str) -> None:
        """Go to a page."""
        self.call("POST", "/url", {"url": address})

    def run(self, script: str, *args: Any) -> Any:
        """Run the body of a function in the page and return what it returns."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Wait until an expression is true in the page."""
        end = time.monotonic() + seconds
        while not self.run(f"return !!({condition})"):
            assert time.monotonic() < end, condition
            time.sleep(0.05)

    def act(self, kind: str, actions: list[dict[str, Any]], pointer: str = "mouse", name: str = "one") -> None:
        """Perform actions of a pointer, a wheel or the keys, as a user would."""
        device: dict[str, Any] = {"type": kind, "id": f"{name}-{pointer}-{kind}", "actions": actions}
        if kind == "pointer":
            device["parameters"] = {"pointerType": pointer}
        self.call("POST", "/actions", {"actions": [device]})

    def keys(self, *keys: str) -> None:
        """Press keys one after another."""
        pressed = [KEYS.get(key, key) for key in keys]
        self.act("key", [{"type": kind, "value": key} for key in pressed for kind in ("keyDown", "keyUp")])

    def screenshot(self, path: str) -> None:
        """Write what is seen to a PNG file."""
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("GET", "/screenshot")))


@contextmanager
def chromium() -> Iterator[Chromium]:
    """Start Chromium and end it."""
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log")
        with open(log, "w") as out:
            driver = subprocess.Popen([str(DRIVER), "--port=0"], stdout=out, stderr=subprocess.STDOUT)
        try:
            address = f"http://127.0.0.1:{_port(log)}/session"
            flags = [*FLAGS, f"--user-data-dir={folder}/profile"]
            wanted = {"browserName": "chrome", "goog:chromeOptions": {"binary": CHROMIUM, "args": flags}}
            made = Chromium(address).call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
            window = Chromium(f"{address}/{made['sessionId']}")
            try:
                yield window
            finally:
                window.call("DELETE", "")
        finally:
            driver.terminate()
            driver.wait(20)


def _port(log: str) -> str:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with open(log) as file:
            text = file.read()
        if "successfully on port " in text:
            return text.rpartition("successfully on port ")[2].split(".")[0].strip()
        time.sleep(0.05)
    raise AssertionError(f"chromedriver does not start: {text}")
