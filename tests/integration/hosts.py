"""Hosts on this one machine: each with its own network, processes, name, /tmp/ray and /dev/shm, joined by a bridge.

A host is a process in namespaces of its own that waits on a pipe from this process. When the pipe closes, for whatever
reason, it ends, and with it everything on the host: nothing is left behind, not even by a test run that was killed.
Files are shared, as on a cluster with a network file system, but for the folders that are said to be hidden.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

NETWORK = "10.77.0"
TOOLS = ("ip", "unshare", "nsenter", "bash")
NAMESPACES = ("--mount", "--uts", "--pid", "--net")
SHARED_MEMORY = "256m"

WAIT = "read -r _"
"""A builtin, so that bash stays process 1 and reaps what its host leaves behind."""

BRIDGE = f"ip link add br0 type bridge && ip link set br0 up && echo up && {WAIT}"

BOOT = f"""\
hostname "$0" && mount --bind "$1" /tmp/ray && mount --bind "$2" /etc/hosts &&
mount -t tmpfs -o size={SHARED_MEMORY} tmpfs /dev/shm && ip link set lo up && shift 2 &&
for hidden; do mount -t tmpfs tmpfs "$hidden" || exit; done && echo up && {WAIT}
"""


class Hosts:
    """Hosts 1 to `count`, at `address(number)`; all of them are gone at the end of the `with` block."""

    def __init__(self, folder: Path, count: int, hidden: Sequence[Path] = ()) -> None:
        """`folder` keeps what each host has in its /tmp/ray, a folder for every time it was started.

        Over the folders in `hidden` every host but the first has empty ones of its own, anew at every start.
        """
        self.folder, self.count, self.hidden = folder, count, hidden
        self.holders: dict[int, subprocess.Popen[bytes]] = {}
        self.boots = dict.fromkeys(range(1, count + 1), 0)

    def __enter__(self) -> Hosts:
        Path("/tmp/ray").mkdir(exist_ok=True)
        try:
            self.bridge = _holder(["unshare", "--net", "bash", "-c", BRIDGE])
            for number in self.boots:
                self.start(number)
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def start(self, number: int) -> None:
        """Bring up a host that is not there."""
        assert number not in self.holders
        self.boots[number] += 1
        own = self.folder / name(number) / f"boot-{self.boots[number]}"
        own.mkdir(parents=True)
        names = own.parent / "hosts"  # as Debian writes it: a host's own name stands for loopback
        names.write_text(f"127.0.0.1 localhost\n127.0.1.1 {name(number)}\n")
        namespaces = [*NAMESPACES, "--fork", "--mount-proc", "--kill-child"]
        hidden = [str(path) for path in self.hidden] if number != 1 else []
        boot = ["bash", "-c", BOOT, name(number), str(own), str(names), *hidden]
        self.holders[number] = _holder(["unshare", *namespaces, *boot])
        port, inside = f"port{number}", str(self._init(number))
        _run("ip", "link", "add", "eth0", "netns", inside, "type", "veth", "peer", port, "netns", str(self.bridge.pid))
        self._on_bridge("ip", "link", "set", port, "master", "br0", "up")
        self.run(number, ["ip", "address", "add", f"{address(number)}/24", "dev", "eth0"])
        self.run(number, ["ip", "link", "set", "eth0", "up"])

    def kill(self, number: int) -> None:
        """Take the power from a host: its peers hear nothing, as their packets find no one."""
        self.cut(number)
        holder = self.holders.pop(number)
        os.kill(self._init_of(holder), signal.SIGKILL)
        holder.wait(30)
        self._on_bridge("ip", "link", "delete", f"port{number}", check=False)  # it may have gone with its other end

    def cut(self, number: int) -> None:
        """Let the bridge drop every packet from and to a host, which has no way to know."""
        self._on_bridge("ip", "link", "set", f"port{number}", "nomaster")

    def mend(self, number: int) -> None:
        """Undo `cut`."""
        self._on_bridge("ip", "link", "set", f"port{number}", "master", "br0")

    def popen(self, number: int, command: Sequence[str], folder: Path, **options: Any) -> subprocess.Popen[Any]:
        """Start a command on a host in a folder. Signals reach it only by `processes`: this process is the way in."""
        return subprocess.Popen([*self._enter(number), "env", f"--chdir={folder}", *command], **options)

    def run(self, number: int, command: Sequence[str], **options: Any) -> str:
        """Output of a command on a host. Raises AssertionError with what it said when it fails."""
        return _run(*self._enter(number), *command, **options)

    def processes(self, number: int, named: str = "") -> list[psutil.Process]:
        """The processes of a host whose command line holds `named`, the first of all left out."""
        init = self._init(number)
        space = _processes_of(init)
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != init and _processes_of(process.pid) == space and named in " ".join(process.cmdline()):
                    found.append(process)
            except (OSError, psutil.Error):  # it has ended meanwhile
                continue
        return found

    def down(self) -> None:
        """End all hosts and the bridge."""
        holders = [*self.holders.values(), *([self.bridge] if hasattr(self, "bridge") else [])]
        self.holders.clear()
        for holder in holders:
            holder.communicate(timeout=30)  # closes the pipe, which ends it

    def _init(self, number: int) -> int:
        return self._init_of(self.holders[number])

    @staticmethod
    def _init_of(holder: subprocess.Popen[bytes]) -> int:
        return int(Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()[0])

    def _enter(self, number: int) -> list[str]:
        return ["nsenter", "--target", str(self._init(number)), *NAMESPACES, "--"]

    def _on_bridge(self, *command: str, check: bool = True) -> None:
        _run("nsenter", "--target", str(self.bridge.pid), "--net", "--", *command, check=check)


def address(number: int) -> str:
    """A host's address on the bridge."""
    return f"{NETWORK}.{number}"


def name(number: int) -> str:
    """A host's name, which the others do not know."""
    return f"host-{number}"


def why_not() -> str | None:
    """Why there can be no hosts here, or None: found out by making one."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"hosts in namespaces need {', '.join(missing)} (apt-get install iproute2 util-linux)"
    if os.geteuid() != 0:
        return "hosts in namespaces need root"
    bridge = "ip link add br0 type bridge && mount -t tmpfs tmpfs /dev/shm && hostname probe"
    tried = subprocess.run(
        ["unshare", *NAMESPACES, "--fork", "--mount-proc", "bash", "-c", bridge], capture_output=True, text=True
    )
    return f"hosts in namespaces are not permitted here: {tried.stderr.strip()}" if tried.returncode else None


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value of `condition`. Raises AssertionError that names `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
    return value


def _holder(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """A process that says `up` and then waits for its input to close."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said == b"up\n", f"a host did not come up: {said.decode()}"
    return process


def _processes_of(process: int) -> Path:
    """What names the host of a process."""
    return Path(f"/proc/{process}/ns/pid").readlink()


def _run(*command: str, check: bool = True, timeout: float = 120, **options: Any) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, **options
    )
    assert not (check and done.returncode), f"{' '.join(command)}: {done.stdout[-3000:]}"
    return done.stdout
