"""Who drives a retrain: a process of a machine, and whether it is known to have died."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Driver:
    """A process that drives. `token` names it and no other: host, where its number holds, process, a random word.

    Machines may share a name, and containers do: `numbers` says in which boot and namespace processes are counted.
    """

    host: str
    process: int
    word: str
    numbers: str = ""

    @classmethod
    def here(cls) -> Driver:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), secrets.token_hex(6), _numbers())

    @property
    def token(self) -> str:
        """As it is written down."""
        return f"{self.host}/{self.numbers}/{self.process}/{self.word}"

    def knows_dead(self, token: str) -> bool:
        """Whether another driver, among the processes that this one can see, has certainly ended. One of elsewhere is
        waited for."""
        where, process, word = token.rsplit("/", 2)
        if where != f"{self.host}/{self.numbers}" or word == self.word:
            return False
        if int(process) == self.process:
            return True  # the number is this process's now
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
        where, process, _ = token.rsplit("/", 2)
        return f"process {process} on {where.partition('/')[0]}"


def _numbers() -> str:
    """The boot and the namespace that process numbers are of; empty where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""
