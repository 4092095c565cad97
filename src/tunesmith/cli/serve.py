"""`tunesmith serve`: registered versions behind an endpoint that any OpenAI client can use."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tunesmith.cli.output import print_json

if TYPE_CHECKING:
    from tunesmith.recipe.model import ModelSection
    from tunesmith.recipe.monitor import TrafficSection
    from tunesmith.recipe.serve import ServeSection
    from tunesmith.serve.plan import Plan
    from tunesmith.store.home import Home


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("what")
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe.")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: 8000]")
@click.option("--model", help="Where the base model is, if not where the recipe says.")
@click.option("--fast", is_flag=True, help="Merge WHAT's champion into the engine's weights: as fast as the base.")
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be started.")
@click.option("--json", "as_json", is_flag=True, help="Print what is started as JSON, one line when it is up.")
def command(
    what: str,
    overrides: tuple[str, ...],
    host: str | None,
    port: int | None,
    model: str | None,
    fast: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Serve WHAT: a recipe (recipe.yaml) or a registered name (summaries), until Ctrl-C.

    Clients put in `model` a name (summaries: its champion, or the newest that passed), an alias (summaries@champion), a
    version (summaries@3) or the base model.

    \b
    Example:
      tunesmith serve summaries
      curl http://127.0.0.1:8000/v1/chat/completions -H 'content-type: application/json' \\
        -d '{"model": "summaries", "messages": [{"role": "user", "content": "Hello"}]}'
    """
    need_serving_packages()
    from rich.console import Console

    from tunesmith.serve.plan import plan_serving
    from tunesmith.store.home import find_home

    console, home = Console(stderr=True), find_home()
    name, section, serving, start, traffic = _asked(what, overrides, home)
    asked = {"host": host, "port": port, "fast": name if fast else None}
    changes = {key: value for key, value in asked.items() if value is not None}
    if model is not None:
        section = section.model_copy(update={"source": model, "revision": None})
    with console.status("reading the registry and the base model"):
        plan = plan_serving(name, section, serving.model_copy(update=changes), home, start, traffic)
    if dry_run:
        print_json(_described(plan)) if as_json else _say(console, plan)
        return
    _serve(plan, home, console, as_json)


def need_serving_packages() -> None:
    """Refuse where Ray Serve or vLLM is missing. Raises TunesmithError with the mending command."""
    from importlib.util import find_spec

    from tunesmith.errors import TunesmithError

    missing = [name for name in ("ray", "vllm", "aiohttp", "fastapi") if find_spec(name) is None]
    if missing:
        raise TunesmithError(
            f"serving needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            fix='pip install "tunesmith[train,serve]" on a machine with GPUs; docs/serve.md says how on a CPU',
        )


def _asked(
    what: str, overrides: tuple[str, ...], home: Home
) -> tuple[str, ModelSection, ServeSection, Path, TrafficSection | None]:
    """Name, base model, settings, where relative paths begin, and what is written down of traffic: of a recipe, or of a
    registered version's recipe."""
    from tunesmith.recipe.monitor import MonitorSection
    from tunesmith.recipe.serve import ServeSection

    if what.endswith((".yaml", ".yml")) or "/" in what:
        from tunesmith.recipe.load import load_recipe

        path = Path(what)
        recipe = load_recipe(path, overrides).recipe
        traffic = recipe.monitor.traffic if recipe.monitor else None
        return recipe.name, recipe.model, recipe.serve or ServeSection(), path.resolve().parent, traffic
    from tunesmith.errors import TunesmithError
    from tunesmith.recipe.model import ModelSection
    from tunesmith.registry.registry import Registry

    if overrides:
        raise TunesmithError("--set changes a recipe, and a name was given", where="--set", fix="name the recipe")
    registry = Registry.open(home, create=False)
    try:
        version = registry.resolve(what)
    finally:
        registry.close()
    written = version.recipe.get("model") or {"source": version.base_model}
    known = {key: value for key, value in written.items() if key in ModelSection.model_fields}
    serving = ServeSection.model_validate(version.recipe.get("serve") or {})
    watched = version.recipe.get("monitor")
    traffic = MonitorSection.model_validate(watched).traffic if watched is not None else None
    return version.name, ModelSection.model_validate(known), serving, Path.cwd(), traffic


def _serve(plan: Plan, home: Home, console: Any, as_json: bool) -> None:
    from tunesmith.serve.local import running

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with console.status("starting") as status, running(plan, home, status.update) as address:
        status.stop()
        if as_json:
            print_json({"address": address, **_described(plan)}, indent=None)
        else:
            _say(console, plan)
            console.print(f"ready: {address}/v1 (Ctrl-C ends it)", markup=False, highlight=False)
        ended.wait()
        console.print("ending: requests in flight are finished first", markup=False)


def _described(plan: Plan) -> dict[str, Any]:
    return {
        "names": list(plan.gateway.names), "host": plan.host, "port": plan.port, "keys": plan.gateway.keys,
        "engines": [
            {"name": one.name, "model": one.model, "revision": one.revision, "max_rank": one.max_rank, "fast": one.fast,
             "rounding": one.rounding}
            for one in plan.engines
        ],
        "engine": plan.engines[0].settings.model_dump(mode="json"),
        "traffic": plan.gateway.traffic.model_dump(mode="json") if plan.gateway.traffic else None,
    }  # fmt: skip


def _say(console: Any, plan: Plan) -> None:
    from tunesmith.serve.plan import is_loopback

    gateway = plan.gateway
    loose = is_loopback(plan.host) and gateway.keys != "required"
    lines = []
    for engine in plan.engines:
        if engine.version is not None:
            lines.append(f"engine: {engine.model}, a full fine-tune, with its own weights in memory")
            continue
        trail = f" ({'; '.join(plan.base.trail)})" if plan.base else ""
        rounded = f", rounded to {engine.rounding} as its QLoRA versions were trained" if engine.rounding else ""
        lines += [
            f"engine: {engine.model}{trail}{rounded}",
            f"adapters up to rank {engine.max_rank}, {engine.settings.max_adapters} at a time, "
            f"{engine.settings.max_adapters_kept} in memory",
        ]
        if engine.fast is not None:
            lines.append(f"fast: what {engine.fast} means is merged into the weights once it has been compared")
    lines += [
        f"names: {', '.join(gateway.names)}",
        "access: " + ("anybody on this machine, until there is an API key" if loose else "with an API key"),
    ]
    if (traffic := gateway.traffic) is not None:
        redacted = "personal data and secrets taken out" if traffic.redact else "NOT redacted"
        lines.append(
            f"traffic: {traffic.rate:.0%} of requests are written down as text, {redacted}, "
            f"for {traffic.retention_days} days"
        )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
