"""A double of a cloud's metadata service: real HTTP, answers that a test sets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.integration.hosts import wait_until


class Metadata:
    """What is answered: path -> text; a path that is not there is 404. Refuses requests without the cloud's headers."""

    def __init__(self, cloud: str, host: str = "127.0.0.1") -> None:
        self.answers: dict[str, str] = {}
        self.asked: list[str] = []
        self.tokens = {"first"}
        self.slow = 0.0
        self.broken = False
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                double.asked.append(self.path)
                time.sleep(double.slow)
                if double.broken:
                    self._say(500, "")
                elif not self._allowed():
                    self._say(401 if cloud == "aws" else 403, "")
                elif self.path in double.answers:
                    self._say(200, double.answers[self.path])
                else:
                    self._say(404, "")

            def do_PUT(self) -> None:
                double.asked.append(f"PUT {self.path}")
                good = self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
                self._say(200, sorted(double.tokens)[-1]) if cloud == "aws" and good else self._say(405, "")

            def _allowed(self) -> bool:
                if cloud == "aws":
                    return self.headers.get("X-aws-ec2-metadata-token") in double.tokens
                name, value = {"gcp": ("Metadata-Flavor", "Google"), "azure": ("Metadata", "true")}[cloud]
                return self.headers.get(name) == value

            def _say(self, status: int, text: str) -> None:
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer((host, 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that gave up
        self.url = f"http://{host}:{self.server.server_port}"

    def wait_until_asked(self, path: str, seconds: float = 60) -> None:
        """Wait for a request."""
        wait_until(lambda: path in self.asked, seconds, f"a request for {path}")


@contextmanager
def serving(cloud: str) -> Iterator[Metadata]:
    """A double that answers until the end of the block."""
    double = Metadata(cloud)
    thread = threading.Thread(target=double.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        double.server.shutdown()
        double.server.server_close()
