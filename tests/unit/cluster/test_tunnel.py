"""Tunnels: opened for the time of a command, opened again when they break, and a sentence when there is none."""

from __future__ import annotations

import stat
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from tunesmith.cluster import tunnel
from tunesmith.cluster.targets import KubernetesSection, Target, TargetError
from tunesmith.cluster.tunnel import command_of, reached

KUBERNETES = Target(kubernetes=KubernetesSection(service="shared-head-svc", namespace="ml", context="prod"))

KUBECTL = f"""#!{sys.executable}
import http.server, os, subprocess, sys
subprocess.Popen(["sleep", "987.25"])
port, there = sys.argv[-1].split(":")
assert there == "8265" and sys.argv[-2] == "service/shared-head-svc"
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(str(os.getpid()).encode())
        if self.path == "/break":
            self.wfile.flush(); os._exit(1)
http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Page).serve_forever()
"""


def program(folder: Path, text: str) -> None:
    path = folder / "kubectl"
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def get(address: str | None, path: str = "/") -> str:
    with urlopen(f"{address}{path}", timeout=5) as answer:
        said: str = answer.read().decode()
        return said


def test_a_tunnel_is_open_for_the_time_of_the_block_and_again_when_it_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, KUBECTL)
    monkeypatch.setattr(tunnel, "PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with reached(KUBERNETES) as here:
        first = get(here.address, "/break")
        deadline, again = time.monotonic() + 30, first
        while again == first:
            assert time.monotonic() < deadline
            try:
                again = get(here.address)
            except OSError:
                time.sleep(0.05)
    with pytest.raises(OSError):
        get(here.address)
    assert not [one for one in psutil.process_iter(["cmdline"]) if "987.25" in (one.info["cmdline"] or [])]


def test_without_a_tunnel_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "#!/bin/sh\necho 'error: context \"prod\" does not exist' >&2\nexit 1\n")
    monkeypatch.setattr(tunnel, "OPEN_SECONDS", 1.0)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    refused = 'no tunnel to the cluster: error: context "prod" does not exist'
    with pytest.raises(TargetError, match=refused), reached(KUBERNETES):
        pass
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(TargetError, match="opened by kubectl, which is not here"):
        command_of(KUBERNETES, 1)


def test_what_opens_it(tmp_path: Path) -> None:
    assert command_of(Target(address="http://h:8265"), 1) is None
    file = tmp_path / "aws.yaml"
    with pytest.raises(TargetError, match="there is no such launcher file"):
        command_of(Target(launcher=str(file)), 1)
    file.write_text("cluster_name: x\n")
    command = command_of(Target(launcher=str(file)), 4000)
    assert command is not None
    assert command[1:] == ["dashboard", str(file), "--port", "4000", "--remote-port", "8265"]
