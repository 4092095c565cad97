"""A link to a server that carries only so many bytes a second, as an object store far away does."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType

PIECE = 16 << 10


class SlowLink:
    """Forwards connections to a server on this machine; all uploads together get `bytes_per_second`."""

    def __init__(self, port: int, bytes_per_second: float) -> None:
        self.port, self.bytes_per_second = port, bytes_per_second
        self.sent = 0
        self._turn = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> SlowLink:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
                threading.Thread(target=self._carry, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._carry, args=(server, client, False), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, slowly: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                if slowly:
                    with self._turn:
                        self.sent += len(piece)
                        time.sleep(len(piece) / self.bytes_per_second)
                target.sendall(piece)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
