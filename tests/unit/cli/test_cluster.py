"""`tunesmith cluster` before anything is rented: prices, questions, refusals. No cloud is asked."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tunesmith.cli.cluster import command
from tunesmith.errors import TunesmithError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """cluster/aws.yaml filled in, in a home with a token."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("x")
    path = tmp_path / "aws.yaml"
    path.write_text(re.sub("<[A-Z_]+>", "filled-in", (ROOT / "cluster" / "aws.yaml").read_text()))
    return path


PRICES = """\
head                   1 x aws:m6i.xlarge on-demand: $0.19 an hour
gpu-spot          0 to 4 x aws:g5.2xlarge spot: $0.54 an hour, $2.16 at most
gpu-on-demand     0 to 2 x aws:g5.2xlarge on-demand: $1.21 an hour, $2.42 at most
cpu-spot          0 to 2 x aws:m6i.2xlarge spot: $0.15 an hour, $0.30 at most
always $0.19 an hour ($4.61 a day), at most $5.08 an hour; disks, addresses, storage and traffic are not counted
  prices of 2025-06-01: AWS list price, us-east-1, from memory of the provider's page, unverified
  prices of 2025-06-01: typical AWS spot price, us-east-1, from memory, unverified; it changes by the hour
"""


def test_the_price_is_shown_before_anybody_is_asked(file: Path) -> None:
    answer = CliRunner().invoke(command, ["up", str(file)])
    assert answer.stderr == PRICES
    assert isinstance(answer.exception, TunesmithError)
    assert answer.exception.what == "nobody is here to be asked; the price is shown above"
    assert answer.exception.fix == "agree with --yes"


def test_who_says_no_at_a_terminal_rents_nothing(file: Path) -> None:
    """A real terminal. Would it go on, Ray's launcher would say so."""
    terminal, end = pty.openpty()
    os.write(terminal, b"n\n")
    command = [sys.executable, "-m", "tunesmith", "cluster", "up", str(file)]
    done = subprocess.run(command, stdin=end, capture_output=True, text=True, timeout=60)
    os.close(end)
    os.close(terminal)
    assert done.returncode == 1
    assert done.stderr.startswith(PRICES)
    assert "Start tunesmith? [y/N]: " in done.stderr
    assert "Aborted!" in done.stderr
    assert "ray" not in done.stderr.removeprefix(PRICES)


def test_machines_of_ones_own_cost_nothing_to_rent(tmp_path: Path, file: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(re.sub("<[A-Z_]+>", "filled-in", (ROOT / "cluster" / "on-premises.yaml").read_text()))
    answer = CliRunner().invoke(command, ["up", str(own)])
    assert answer.stderr == "tunesmith: machines of your own, nothing is rented\n"


@pytest.mark.parametrize("verb", ["up", "down", "status", "cost"])
def test_a_file_that_is_not_there(verb: str, tmp_path: Path) -> None:
    answer = CliRunner().invoke(command, [verb, str(tmp_path / "no.yaml")])
    assert isinstance(answer.exception, TunesmithError)
    assert answer.exception.what == "there is no such file"
    assert answer.exception.fix == "name a launcher file, or copy one of the folder cluster/"


@pytest.mark.parametrize("verb", ["up", "down"])
def test_without_the_library_of_the_cloud_it_says_what_to_install(
    verb: str, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azure's is installed nowhere here."""
    azure = tmp_path / "azure.yaml"
    azure.write_text(re.sub("<[A-Z_]+>", "filled-in", (ROOT / "cluster" / "azure.yaml").read_text()))
    answer = CliRunner().invoke(command, [verb, str(azure), "--yes"])
    assert isinstance(answer.exception, TunesmithError)
    assert answer.exception.what == "Ray's launcher needs azure.mgmt.compute for azure, which is not installed"
    assert "azure-mgmt-compute" in str(answer.exception.fix)
