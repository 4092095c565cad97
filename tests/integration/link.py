"""A link to a server on this machine that is not what a link should be; how is up to its kind."""

from __future__ import annotations

import socket
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from types import TracebackType
from typing import Self


class Link(ABC):
    """Listens on a port of its own and hands each connection to `carry`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._listening = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()

    @abstractmethod
    def carry(self, client: socket.socket) -> None:
        """Begin to carry a connection, in threads of its own."""

    def server(self) -> socket.socket:
        """A connection to the server."""
        return socket.create_connection(("127.0.0.1", self.port))

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self.carry(self._listening.accept()[0])
