"""A link to a server that carries only so many bytes a second, as an object store far away does."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

from tests.integration.link import Link

PIECE = 16 << 10


class SlowLink(Link):
    """Forwards connections to a server on this machine; all uploads together get `bytes_per_second`."""

    def __init__(self, port: int, bytes_per_second: float) -> None:
        super().__init__(port)
        self.bytes_per_second, self.sent = bytes_per_second, 0
        self._turn = threading.Lock()

    def carry(self, client: socket.socket) -> None:
        """Both ways, one of them slowly."""
        server = self.server()
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
