"""Who drives a retrain: a process of a machine, and whether it is known to have died."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Driver:
    """A process that drives. `token` names it and no other one: host, process and a random word."""

    host: str
    process: int
    word: str

    @classmethod
    def here(cls) -> Driver:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), secrets.token_hex(6))

    @property
    def token(self) -> str:
        """As it is written down."""
        return f"{self.host}/{self.process}/{self.word}"

    def knows_dead(self, token: str) -> bool:
        """Whether another driver, of this machine, has certainly ended. One of another machine is waited for."""
        host, process, word = token.rsplit("/", 2)
        if host != self.host or word == self.word:
            return False
        if int(process) == self.process:
            return True  # in a container that was started again, the number is this process's now
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
        return False

    @staticmethod
    def shown(token: str) -> str:
        """For people: process and machine."""
        host, process, _ = token.rsplit("/", 2)
        return f"process {process} on {host}"
