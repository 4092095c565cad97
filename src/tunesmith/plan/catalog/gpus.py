"""GPUs as NVIDIA's own tool reports them, so that torch is not needed to ask."""

from __future__ import annotations

import csv
import shutil
import subprocess
from dataclasses import dataclass

_QUERY = ("name", "memory.total", "memory.free", "driver_version", "compute_cap")
_TIMEOUT_SECONDS = 20
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Gpu:
    """One GPU. Memory in bytes, 0 where the driver does not say; `compute_capability` such as `9.0`."""

    name: str
    memory_bytes: int
    memory_free_bytes: int
    driver: str
    compute_capability: str

    @property
    def has_bf16(self) -> bool:
        """Whether it computes in bfloat16: from compute capability 8.0 (Ampere) on."""
        major = self.compute_capability.partition(".")[0]
        return major.isdecimal() and int(major) >= 8


@dataclass(frozen=True)
class GpuReport:
    """The GPUs found, and why there may be fewer than expected."""

    gpus: tuple[Gpu, ...]
    problem: str | None = None


def look_at_gpus() -> GpuReport:
    """Ask `nvidia-smi`. A machine without it has no NVIDIA GPU; one where it fails has a broken driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return GpuReport(())
    command = [tool, f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return GpuReport((), f"nvidia-smi gave no answer in {_TIMEOUT_SECONDS} s")
    except OSError as error:
        return GpuReport((), f"nvidia-smi cannot be run: {error.strerror}")
    if done.returncode != 0:
        said = (done.stdout.strip() or done.stderr.strip() or "nothing").splitlines()[0]
        return GpuReport((), f"nvidia-smi fails: {said}")
    return GpuReport(parse_gpus(done.stdout))


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Read the tool's lines of comma-separated values; lines of another shape are no GPU."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines())]
    return tuple(Gpu(row[0], _bytes(row[1]), _bytes(row[2]), row[3], row[4]) for row in rows if len(row) == len(_QUERY))


def _bytes(mebibytes: str) -> int:
    """0 for `[N/A]`, which machines with one memory for both give."""
    return int(mebibytes) * _MEBIBYTE if mebibytes.isdecimal() else 0
