"""Cores, memory and bfloat16 as the system's own files and tools say, limits of containers included."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from tunesmith.plan.catalog.gpus import Gpu, look_at_gpus, parse_gpus
from tunesmith.plan.catalog.system import look_at_system

MEMINFO = "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\nHugePages_Total:       0\n"


def system(folder: Path, **files: str) -> Path:
    places = {
        "cpuinfo": "proc/cpuinfo",
        "meminfo": "proc/meminfo",
        "cpu_max": "sys/fs/cgroup/cpu.max",
        "memory_max": "sys/fs/cgroup/memory.max",
        "memory_current": "sys/fs/cgroup/memory.current",
    }
    for name, text in files.items():
        path = folder / places[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_memory_agrees_with_psutil(tmp_path: Path) -> None:
    machine = look_at_system(tmp_path / "not" / "there")
    assert 0 < machine.memory_bytes <= psutil.virtual_memory().total
    assert machine.disk_free_bytes == pytest.approx(psutil.disk_usage(str(tmp_path)).free, rel=0.05)


def test_a_plain_machine(tmp_path: Path) -> None:
    machine = look_at_system(tmp_path, system(tmp_path, meminfo=MEMINFO, cpuinfo="flags\t: fpu avx2\n"))
    assert (machine.memory_bytes, machine.memory_free_bytes) == (16_000_000 * 1024, 8_000_000 * 1024)
    assert machine.cores == len(os.sched_getaffinity(0))
    assert machine.bf16 == ()


def test_a_container(tmp_path: Path) -> None:
    limits = {"cpu_max": "100000 100000\n", "memory_max": "4000000000\n", "memory_current": "1000000000\n"}
    machine = look_at_system(tmp_path, system(tmp_path, meminfo=MEMINFO, **limits))
    assert (machine.cores, machine.memory_bytes, machine.memory_free_bytes) == (1, 4_000_000_000, 3_000_000_000)


def test_a_container_without_limits(tmp_path: Path) -> None:
    machine = look_at_system(tmp_path, system(tmp_path, meminfo=MEMINFO, cpu_max="max 100000\n", memory_max="max\n"))
    assert machine.memory_bytes == 16_000_000 * 1024


@pytest.mark.parametrize(
    ("cpuinfo", "names"),
    [
        ("flags : fpu avx512_bf16 amx_bf16 amx_tile\n", ("AVX512-BF16", "AMX-BF16")),
        ("processor : 0\nFeatures : fp asimd bf16 i8mm\n", ("ARM BF16",)),
        ("flags : avx512f xbf16\n", ()),
        ("", ()),
    ],
)
def test_bf16(tmp_path: Path, cpuinfo: str, names: tuple[str, ...]) -> None:
    assert look_at_system(tmp_path, system(tmp_path, cpuinfo=cpuinfo)).bf16 == names


def test_an_unknown_system(tmp_path: Path) -> None:
    machine = look_at_system(tmp_path, tmp_path)
    assert (machine.memory_bytes, machine.memory_free_bytes, machine.bf16) == (0, 0, ())


def test_gpus() -> None:
    text = (
        "NVIDIA H200, 143771, 143000, 580.65.06, 9.0\n"
        "Tesla V100, 16384, 16000, 470.1, 7.0\n"
        "NVIDIA GB10, [N/A], [N/A], 580.1, 12.1\n"
    )
    gpus = parse_gpus(text)
    assert gpus[0] == Gpu("NVIDIA H200", 143771 * 2**20, 143000 * 2**20, "580.65.06", "9.0")
    assert [gpu.has_bf16 for gpu in gpus] == [True, False, True]
    assert gpus[2].memory_bytes == 0
    assert parse_gpus("No devices were found\n\n") == ()


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'NVIDIA H200, 143771, 143000, 580.65.06, 9.0'", None),
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18",
         "nvidia-smi fails: Failed to initialize NVML: Driver/library version mismatch"),
        ("exit 9", "nvidia-smi fails: nothing"),
    ],
)  # fmt: skip
def test_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, problem: str | None) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    report = look_at_gpus()
    assert report.problem == problem
    assert len(report.gpus) == (problem is None)


def test_no_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    report = look_at_gpus()
    assert (report.gpus, report.problem) == ((), None)
