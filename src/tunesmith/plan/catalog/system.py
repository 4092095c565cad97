"""Cores, memory, disk and number formats of this machine, seen through its containers' limits."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BF16_FLAGS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16", "bf16": "ARM BF16"}
"""Processor flag as Linux writes it -> name. Without one of them bfloat16 works on a CPU, but slowly."""

_SYSTEM = Path("/")
"""Root of the system's own files; tests put another one here."""


@dataclass(frozen=True)
class System:
    """This machine. Bytes, cores that may be used, and the bfloat16 instructions of its processor."""

    system: str
    python: str
    cores: int
    bf16: tuple[str, ...]
    memory_bytes: int
    memory_free_bytes: int
    disk_free_bytes: int


def look_at_system(folder: Path, system: Path = _SYSTEM) -> System:
    """Measure the machine; the disk is the one that `folder` lies, or would lie, on. 0 stands for unknown."""
    total, free = _memory(system)
    return System(
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        cores=_cores(system),
        bf16=_bf16(system),
        memory_bytes=total,
        memory_free_bytes=free,
        disk_free_bytes=shutil.disk_usage(nearest_folder(folder)).free,
    )


def nearest_folder(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _cores(system: Path) -> int:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _first_line(system / "sys/fs/cgroup/cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal():
        allowed = min(allowed, max(1, int(quota) // int(period)))
    return allowed


def _bf16(system: Path) -> tuple[str, ...]:
    if sys.platform == "darwin":
        return ("ARM BF16",) if _sysctl("hw.optional.arm.FEAT_BF16") == 1 else ()
    for line in _text(system / "proc/cpuinfo").splitlines():
        key, _, flags = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return tuple(name for flag, name in BF16_FLAGS.items() if flag in flags.split())
    return ()


def _memory(system: Path) -> tuple[int, int]:
    """Total and free bytes: the least of what the machine has and what its control group may use."""
    fields = dict(line.split(":", 1) for line in _text(system / "proc/meminfo").splitlines() if ":" in line)
    total, free = (_kibibytes(fields.get(key, "")) for key in ("MemTotal", "MemAvailable"))
    if not total and sys.platform == "darwin":
        total = _sysctl("hw.memsize")
    limit = _first_line(system / "sys/fs/cgroup/memory.max")
    used = _first_line(system / "sys/fs/cgroup/memory.current")
    if limit.isdecimal() and (not total or int(limit) < total):
        total = int(limit)
        free = min(free, max(0, total - int(used))) if used.isdecimal() else free
    return total, free


def _kibibytes(text: str) -> int:
    number = text.strip().removesuffix(" kB").strip()
    return int(number) * 1024 if number.isdecimal() else 0


def _sysctl(name: str) -> int:
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return int(done.stdout) if done.stdout.strip().isdecimal() else 0


def _first_line(path: Path) -> str:
    return next(iter(_text(path).splitlines()), "")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
