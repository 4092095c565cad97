"""A real endpoint for the tests: SmolLM2 on vLLM with adapters that say different things, started as a user does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.unit.serve.ports import free_port
from tunesmith.models.resolve import resolve_model
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.store.home import Home

NAME = "story"
SECONDS_TO_START = 600


@dataclass(frozen=True)
class Endpoint:
    """A started `tunesmith serve`: its URL, the home it serves from, its process, and the base model's folder."""

    url: str
    home: Home
    process: subprocess.Popen[bytes]
    base: Path
    log: Path


def write_adapter(base: Path, folder: Path, seed: int, strength: float = 0.03, rank: int = 8) -> Path:
    """An adapter with random weights: other answers than the base's, and for another seed others again."""
    import torch
    from transformers import AutoModelForCausalLM

    from tunesmith.models.lora import attach_lora, save_adapter

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = attach_lora(model.requires_grad_(False), MethodSection(rank=rank), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * strength)
    folder.mkdir(parents=True)
    save_adapter(adapted, folder, "base")
    return folder


def register(home: Home, base: Path, adapter: Path, name: str = NAME, **recipe: Any) -> str:
    """Register an adapter as the next version of a name."""
    section = ModelSection(source=str(base))
    new = NewVersion(
        name=name,
        kind="adapter",
        base_model=str(base),
        base_revision=resolve_model(section, base, home.models).revision,
        recipe_hash="r1",
        recipe={"name": name, "model": section.model_dump(mode="json"), **recipe},
        created_by="ann",
        verdict="passed",
    )
    registry = Registry.open(home)
    try:
        return registry.register(new, adapter).reference
    finally:
        registry.close()


def where(home: Home) -> dict[str, str]:
    """Environment variables by which other processes find a home."""
    return {
        "TUNESMITH_HOME": str(home.folder), "TUNESMITH_DATABASE_URL": home.database_url,
        "TUNESMITH_ARTIFACTS": home.artifacts,
    }  # fmt: skip


@contextmanager
def served(home: Home, base: Path, folder: Path, serve: dict[str, Any], **sections: Any) -> Iterator[Endpoint]:
    """`tunesmith serve` with these settings, and other sections of the recipe, until the block ends."""
    recipe = folder / "recipe.yaml"
    common = {"name": NAME, "model": {"source": str(base)}, "data": {"train": "none.jsonl"}}
    recipe.write_text(json.dumps({**common, "serve": serve, **sections}))
    with served_recipe(home, base, recipe) as endpoint:
        yield endpoint


@contextmanager
def served_recipe(home: Home, base: Path, recipe: Path) -> Iterator[Endpoint]:
    """`tunesmith serve` of a recipe, until the block ends; what it says is in `serve.log` beside it."""
    port = free_port()
    environment = {
        **os.environ, **where(home), "HF_HUB_OFFLINE": "1",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()), "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
    }  # fmt: skip
    log = recipe.with_name("serve.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunesmith", "serve", str(recipe), "--port", str(port)],
            stdout=output, stderr=output, env=environment, start_new_session=True,
        )  # fmt: skip
    endpoint = Endpoint(f"http://127.0.0.1:{port}", home, process, base, log)
    try:
        _wait(endpoint)
        yield endpoint
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(90)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(endpoint: Endpoint) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if endpoint.process.poll() is not None:
            break
        try:
            health = httpx.get(f"{endpoint.url}/healthz", timeout=5)
            if health.status_code == 200 and not health.json()["unchecked"]:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"the endpoint did not come up:\n{endpoint.log.read_text(errors='replace')[-5000:]}")
