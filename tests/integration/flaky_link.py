"""A link to a server that breaks: connections cut in the middle of a request or an answer, and answers of 503."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress

from tests.integration.link import Link

PIECE = 4 << 10
BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class FlakyLink(Link):
    """Forwards connections to a server on this machine. Of so large a share one of three things happens to each: it is
    answered with 503, cut while a request goes out, or cut while an answer comes in. `broken` counts them."""

    def __init__(self, port: int, share: float, seed: int) -> None:
        super().__init__(port)
        self.share, self.broken = share, 0
        self._chance = random.Random(seed)

    def carry(self, client: socket.socket) -> None:
        """Decide what happens to a connection."""
        fate = self._chance.choice(("busy", "out", "in")) if self._chance.random() < self.share else "whole"
        self.broken += fate != "whole"
        if fate == "busy":
            threading.Thread(target=self._busy, args=(client,), daemon=True).start()
            return
        server, after = self.server(), self._chance.randrange(1, 40_000)
        out, back = (after if fate == "out" else None), (after if fate == "in" else None)
        threading.Thread(target=self._carry, args=(client, server, out), daemon=True).start()
        threading.Thread(target=self._carry, args=(server, client, back, True), daemon=True).start()

    @staticmethod
    def _busy(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(PIECE)
            client.sendall(BUSY)

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket, limit: int | None, answers: bool = False) -> None:
        """Carry bytes; after `limit` of them both connections are gone. Of `answers` those of the headers do not count:
        curl takes one whose headers end early for a whole one."""
        with suppress(OSError):
            while piece := source.recv(PIECE):
                if answers and limit is not None:
                    answers, limit = False, piece.find(b"\r\n\r\n") + 4 + limit % 3_000
                if limit is not None and len(piece) >= limit:
                    target.sendall(piece[:limit])
                    break
                limit = limit - len(piece) if limit is not None else None
                target.sendall(piece)
            else:
                target.shutdown(socket.SHUT_WR)
                return
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
