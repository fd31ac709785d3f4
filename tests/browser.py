"""A Chromium without a window, driven by its own protocol (DevTools): pages opened, keys pressed, questions asked."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from itertools import count
from pathlib import Path

import websocket

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0"]
KEYS = {"Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), " ": ("Space", 32, " "), "a": ("KeyA", 65, "a")}  # code, number, text
CONTROL, SHIFT = 2, 8
LOOK_SECONDS = 0.05
PATIENCE = 300  # seconds until something that was asked for must be there: computers of tests are busy


class Browser:
    """One browser with one page; whatever it stores lies in `folder`. Use it as a context."""

    def __init__(self, folder: Path):
        self.folder, self.numbers = folder, count(1)

    def __enter__(self) -> "Browser":
        command = [CHROMIUM, *OPTIONS, f"--user-data-dir={self.folder}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = until(self._port, PATIENCE, "the browser starts")
            targets = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10).read())
            address = next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
            self.socket = websocket.create_connection(address, suppress_origin=True, timeout=PATIENCE)
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *exception) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(30)

    def ask(self, method: str, **parameters) -> dict:
        """Send one command of the protocol; return its result."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != number:
            pass  # what happened meanwhile
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, address: str) -> None:
        """Open a page and wait until it is loaded."""
        self.ask("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def look(self, width: int, dark: bool = False, height: int = 900) -> None:
        """Set the window's size and whether its owner likes it dark."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[theme])

    def value(self, script: str):
        """Return what an expression is on the page; a promise is awaited."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, (script[:200], found["exceptionDetails"])
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = PATIENCE):
        """Return what an expression is on the page, as soon as that is true."""
        return until(lambda: self.value(script), seconds, script)

    def press(self, key: str, modifiers: int = 0) -> None:
        """Press one key, by its name in the DOM."""
        code, number, text = KEYS[key]
        common = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers}
        down = {"type": "keyDown", "text": text} if text and not modifiers else {"type": "rawKeyDown"}
        self.ask("Input.dispatchKeyEvent", **common, **down)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Type over what the focused field or editor holds."""
        self.value("document.activeElement.select?.()")
        self.press("a", CONTROL)
        self.ask("Input.insertText", text=text)

    def tab_to(self, script: str, most: int = 300) -> None:
        """Press Tab until the element in focus, `it`, is the wanted one."""
        for _ in range(most):
            if self.value(f"(it => Boolean({script}))(document.activeElement)"):
                return
            self.press("Tab")
        raise AssertionError(f"the keyboard does not lead to {script}")

    def picture(self, path: Path) -> Path:
        """Save what is seen."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))
        return path

    def _port(self) -> str | None:
        path = self.folder / "DevToolsActivePort"
        return path.read_text().split()[0] if path.exists() and path.read_text() else None


def until(question, seconds: float, wanted: str):
    """Ask again and again; return the first answer that is true."""
    ended = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < ended, f"not within {seconds} s: {wanted}"
        time.sleep(LOOK_SECONDS)
    return answer
