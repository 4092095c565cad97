"""What the endpoint costs on top of vLLM: the same engine, adapter and requests behind four servers, one run.

    python benchmarks/serve_overhead.py           ten minutes on two cores, with nothing else running
    python benchmarks/serve_overhead.py --quick   one round, few requests

Servers: vLLM's own (`vllm.entrypoints.openai.api_server`), ours (`tunesmith serve`), and Ray's `build_openai_app` as it
comes, with its batching of 50 ms and Serve's own proxy. Each round starts them one after the other, so that no engine
idles beside another. Requests are streamed chat completions of 32 tokens of SmolLM2-135M with an adapter of rank 16;
time to the first token is the median at concurrency 1, throughput that of 8 at a time. The fourth one is ours with the
version merged into the engine's weights (`serve.fast`): there it needs no adapter, and the base is one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp

from tests.integration import served
from tests.unit.serve.ports import free_port
from tunesmith.store.home import Home

TOKENS, RANK = 32, 16
ENGINE: dict[str, Any] = {
    "max_model_len": 1024, "max_num_seqs": 16, "dtype": "bfloat16", "enforce_eager": True, "enable_lora": True,
    "max_lora_rank": RANK, "max_loras": 2, "max_cpu_loras": 4,
}  # fmt: skip
STOCK = """
import json, sys, time
import ray
from ray import serve
from ray.serve.llm import LLMConfig, build_openai_app
base, adapter, port, engine = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
from ray.serve.llm.deployment import LLMServer
from ray.llm._internal.serve.core.configs.llm_config import DiskMultiplexConfig
from ray.llm._internal.serve.utils.lora_serve_utils import LoraModelLoader
class Loader(LoraModelLoader):
    async def load_model_from_config(self, lora_model_id, llm_config):
        return DiskMultiplexConfig(model_id=lora_model_id, max_total_tokens=None, local_path=adapter,
                                   lora_assigned_int_id=1)
class Server(LLMServer):
    async def __init__(self, llm_config, **kwargs):
        await super().__init__(llm_config, model_downloader=Loader)
config = LLMConfig(
    model_loading_config={"model_id": "base", "model_source": base}, accelerator_config={"kind": "cpu"},
    placement_group_config={"bundles": [{"CPU": 1}]}, engine_kwargs=engine, server_cls=Server,
    deployment_config={"num_replicas": 1, "ray_actor_options": {"num_cpus": 0.1}},
    lora_config={"dynamic_lora_loading_path": "s3://none/none", "max_num_adapters_per_replica": 4},
    runtime_env={"env_vars": {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}},
    experimental_configs={"num_ingress_replicas": 1},
)
ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": port})
serve.run(build_openai_app({"llm_configs": [config]}))
time.sleep(10**6)
"""
"""Ray's application as its page shows it; only the adapter comes from a folder instead of a bucket."""


def main() -> None:
    """Print the machine, a table, and one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round, few requests")
    parser.add_argument("--rounds", type=int, default=1, help="how often each server is started")
    chosen = parser.parse_args()
    rounds, singles, together = (1, 5, 16) if chosen.quick else (chosen.rounds, 12, 32)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, "
          + ", ".join(f"{name} {version(name)}" for name in ("ray", "vllm-cpu", "torch")))  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="tunesmith-serve-") as scratch:
        folder = Path(scratch)
        base = model_folder()
        adapter = written(base, folder / "adapter")
        found: dict[str, list[dict[str, float]]] = {}
        for number in range(rounds):
            for name, start in (("vllm", vllm), ("tunesmith", ours), ("fast", fast), ("ray", stock)):
                place = folder / f"{name}-{number}"
                place.mkdir()
                with start(base, adapter, place) as (url, models):
                    one = {}
                    for kind, model in models.items():
                        figures = asyncio.run(measured(url, model, singles, together))
                        one |= {f"{kind} {key}": value for key, value in figures.items()}
                found.setdefault(name, []).append(one)
                print(f"round {number + 1}, {name}: " + ", ".join(f"{k} {v:.1f}" for k, v in one.items()), flush=True)
    table(found)


def table(found: dict[str, list[dict[str, float]]]) -> None:
    """Medians over rounds, ratios to vLLM's own server, and the line of JSON."""
    middle = {
        name: {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        for name, rounds in found.items()
    }
    print("\n| server | first token, base ms | adapter ms | tokens/s at 8, base | adapter | of vLLM's | |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, one in middle.items():
        print(
            f"| {name} | {one['base first']:.0f} | {one['adapter first']:.0f} | {one['base rate']:.1f} "
            f"| {one['adapter rate']:.1f} | {one['base rate'] / middle['vllm']['base rate']:.2f} "
            f"| {one['adapter rate'] / middle['vllm']['adapter rate']:.2f} |"
        )
    ours, theirs = middle["tunesmith"], middle["vllm"]
    print(json.dumps({
        "throughput_ratio": ours["adapter rate"] / theirs["adapter rate"],
        "throughput_ratio_base": ours["base rate"] / theirs["base rate"],
        "ttft_added_ms": ours["adapter first"] - theirs["adapter first"],
        "ttft_added_ms_base": ours["base first"] - theirs["base first"],
        "fast_throughput_ratio": middle["fast"]["adapter rate"] / ours["adapter rate"],
        "stock_throughput_ratio": middle["ray"]["adapter rate"] / theirs["adapter rate"],
        "stock_ttft_added_ms": middle["ray"]["adapter first"] - theirs["adapter first"],
    }))  # fmt: skip


async def measured(url: str, model: str, singles: int, together: int) -> dict[str, float]:
    """Milliseconds to the first token at concurrency 1, and tokens a second at 8."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=300)) as session:
        for number in range(3):
            await ask(session, url, model, number)
        firsts = [(await ask(session, url, model, 100 + number))[0] for number in range(singles)]
        turns = iter(range(1000, 1000 + together))
        began = time.perf_counter()

        async def one() -> int:
            return sum([(await ask(session, url, model, turn))[1] for turn in turns])

        tokens = sum(await asyncio.gather(*(one() for _ in range(8))))
        return {"first": 1000 * statistics.median(firsts), "rate": tokens / (time.perf_counter() - began)}


async def ask(session: aiohttp.ClientSession, url: str, model: str, number: int) -> tuple[float, int]:
    """Seconds to the first token of an answer, and its tokens. Every question is another one: nothing is cached."""
    body = {
        "model": model, "stream": True, "temperature": 0, "max_tokens": TOKENS, "ignore_eos": True,
        "messages": [{"role": "user", "content": f"{number}: tell me of a town, its people and its river."}],
    }  # fmt: skip
    began, first, tokens = time.perf_counter(), 0.0, 0
    async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            if line.startswith(b"data: {") and (choices := json.loads(line[6:])["choices"]):
                if choices[0]["delta"].get("content") and not first:
                    first = time.perf_counter() - began
                tokens += 1
    # The first piece names the role; every other is a token.
    return first, tokens - 1


@contextmanager
def vllm(base: Path, adapter: Path, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """vLLM's own server."""
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(base),
               "--served-model-name", "base", "--host", "127.0.0.1", "--port", str(port), "--lora-modules",
               f"tuned={adapter}"]  # fmt: skip
    for key, value in ENGINE.items():
        command += [f"--{key.replace('_', '-')}"] + ([] if value is True else [str(value)])
    with process(command, folder, f"http://127.0.0.1:{port}/health", {"VLLM_CPU_KVCACHE_SPACE": "1"}):
        yield f"http://127.0.0.1:{port}", {"base": "base", "adapter": "tuned"}


@contextmanager
def ours(base: Path, adapter: Path, folder: Path, **serving: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """`tunesmith serve`, one gateway."""
    home = Home(folder / "home", f"sqlite:///{folder}/home/registry.db", str(folder / "home" / "artifacts"))
    reference = served.register(home, base, adapter)
    engine = {"dtype": "bfloat16", "max_model_len": 1024, "max_sequences": 16, "max_adapters": 2,
              "max_adapters_kept": 4, "max_rank": 2 * RANK if serving else RANK, "device": "cpu"}  # fmt: skip
    with served.served(home, base, folder, {"engine": engine, **serving}) as endpoint:
        yield endpoint.url, {"base": base.name, "adapter": reference}


@contextmanager
def fast(base: Path, adapter: Path, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """`tunesmith serve` with the version in the weights."""
    import httpx

    with ours(base, adapter, folder, fast=served.NAME) as (url, models):
        deadline = time.monotonic() + 60
        while (state := httpx.get(f"{url}/healthz", timeout=30).json())["merged"]["base"] != models["adapter"]:
            assert time.monotonic() < deadline, state
            time.sleep(0.2)
        yield url, models


@contextmanager
def stock(base: Path, adapter: Path, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Ray's application."""
    port = free_port()
    command = [sys.executable, "-c", STOCK, str(base), str(adapter), str(port), json.dumps(ENGINE)]
    with process(command, folder, f"http://127.0.0.1:{port}/v1/models/base", {"RAY_AUTH_MODE": "disabled"}):
        yield f"http://127.0.0.1:{port}", {"base": "base", "adapter": "base:tuned"}


@contextmanager
def process(command: list[str], folder: Path, ready: str, environment: dict[str, str]) -> Iterator[None]:
    """A server, until the block ends."""
    import httpx

    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **environment}, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 300
        while True:
            if running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text(errors="replace")[-4000:])
            try:
                if httpx.get(ready, timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        yield
    finally:
        running.send_signal(signal.SIGINT)
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        # What Ray has left over would idle beside the next one.
        subprocess.run(["pkill", "-9", "-g", str(running.pid)], check=False)


def model_folder() -> Path:
    """SmolLM2 from the package that carries it."""
    from tunesmith.models.resolve import resolve_model
    from tunesmith.recipe.model import ModelSection

    cache = Path(os.environ.get("TUNESMITH_TEST_CACHE") or Path(__file__).parents[1] / ".tunesmith" / "test-models")
    return resolve_model(ModelSection(source="smollm2-135m-instruct"), Path.cwd(), cache).folder


def written(base: Path, folder: Path) -> Path:
    """An adapter of rank 16 on every linear layer."""
    return served.write_adapter(base, folder, 1, rank=RANK)


if __name__ == "__main__":
    main()
