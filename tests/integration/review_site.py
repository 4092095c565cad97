"""The page served by a process of its own, that can be killed, and a browser that rates on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.services import missing
from tests.unit.serve.ports import free_port
from tunesmith.keys.keyring import Keyring
from tunesmith.review.reviews import Reviews
from tunesmith.store.database import Database

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Site:
    """A home folder with its page at a port that stays the same."""

    home: Path
    port: int = field(default_factory=free_port)
    server: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.database = Database.open(f"sqlite:///{self.home}/registry.db")
        self.reviews = Reviews(self.database)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def key(self, rater: str) -> str:
        return Keyring(self.database).create(rater, ("review",), "test")[1]

    def start(self) -> None:
        command = [sys.executable, "-m", "tunesmith", "review", "serve", "--port", str(self.port)]
        environment = {**os.environ, "TUNESMITH_HOME": str(self.home), "OMP_NUM_THREADS": "1"}
        with (self.home / "server.log").open("ab") as log:
            self.server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.server.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.address}/login", timeout=10):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(f"the page did not come up:\n{(self.home / 'server.log').read_text()}")

    def kill(self) -> None:
        """As a machine ends that loses its power."""
        if self.server is not None:
            self.server.send_signal(signal.SIGKILL)
            self.server.wait()
            self.server = None


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """A page, ended at the end."""
    made = Site(folder)
    made.start()
    try:
        yield made
    finally:
        made.kill()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A real browser; its tests skip where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing('playwright is not installed (pip install "tunesmith[dev]")')
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        missing("Chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def enter(browser: Browser, place: Site, rater: str, **settings: Any) -> tuple[Page, list[str]]:
    """A window of its own in which a rater is logged in, and what its console complains of."""
    page = browser.new_context(**settings).new_page()
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(place.address)
    # The browser may still be about to put the cursor there: what is typed before that is lost.
    page.locator("input[name=key]").fill(place.key(rater))
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('What is to be judged')")
    return page, complaints
