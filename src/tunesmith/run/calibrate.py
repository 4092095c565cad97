"""`tunesmith plan --calibrate`: a minute of real steps on the hardware at hand, and what they say about its rates."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.plan.hardware import Machine, Placement
from tunesmith.plan.time.efficiency import Efficiency, load_efficiency, save_efficiency
from tunesmith.plan.time.rates import Rates, assumed_rates
from tunesmith.recipe.schema import Recipe
from tunesmith.run.fit import Measured, fit, fit_workers, fitted
from tunesmith.run.stand_in import Trial, lay_out
from tunesmith.train.explain.find import find_shapes
from tunesmith.train.job import TrainJob
from tunesmith.train.sinks import read_events

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.recipe.load import LoadedRecipe
    from tunesmith.store.home import Home


def trials(recipe: Recipe, hidden: int) -> list[Trial]:
    """What is measured: more layers and fewer, more tokens and fewer, narrower, with documents short and long, so that
    the costs of operations, bytes and calls come apart. Narrow models get more layers, or all would lie in caches."""
    room = max(256, min(1024, recipe.train.micro_batch_tokens))
    few = max(64, room // 4)
    shallow, deep = (4, 12) if hidden <= 1024 else (2, 6)
    return [
        Trial(shallow, 1, room, 128),
        Trial(deep, 1, room, 128),
        Trial(deep, 1, few, few),
        Trial(deep, 3, room, 64),
        Trial(shallow, 3, few, few),
        Trial(shallow, 1, room, room // 2),
        Trial(shallow, 1, 1024, 1024),  # too long for plain attention on a CPU
        Trial(shallow, 1, room, 128, checkpointing=True),
    ]


def calibrate(loaded: LoadedRecipe, home: Home, console: Console, machine: Machine | None = None) -> Efficiency:
    """Measure what this machine achieves with the recipe's architecture and method, and keep it in the home folder.

    Stand-ins of few layers, by the model's config alone, take a few real steps each; one more trains on Ray, with two
    workers where there are two cores; a checkpoint is written, weights are loaded, answers generated. Nothing is
    fetched but the config. `machine` is this one, which the catalogue describes by default. Raises TunesmithError as
    `train` does.
    """
    from tunesmith.models.load import choose_device, choose_dtype

    recipe = loaded.recipe
    if machine is None:
        from tunesmith.plan.catalog import this_machine

        machine = this_machine()
    config = find_shapes(loaded, home).config
    dtype = str(choose_dtype(recipe.base.dtype, choose_device())).removeprefix("torch.")
    now = datetime.now(UTC)
    software = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "ray"))
    prior = replace(
        assumed_rates(machine, recipe.method.type),
        computes_in=dtype, origin="measured", date=now.date(),
        source=f"tunesmith plan --calibrate, {now:%Y-%m-%d %H:%M} UTC, {recipe.model.source}: {software}",
    )  # fmt: skip
    placement = Placement(machine, 1, "owned")
    home.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".calibration-", dir=home.folder) as scratch:
        rates = _measure(Path(scratch), recipe, config, dtype, placement, prior, console)
    known = load_efficiency(home.folder).add([rates])
    save_efficiency(known, home.folder)
    return known


def _measure(
    scratch: Path, recipe: Recipe, config: Any, dtype: str, placement: Placement, prior: Rates, console: Console
) -> Rates:
    from tunesmith.run.probes import answering, exchanging, loading, on_ray, peaks, quantising, writing

    # Rates are of all cores together; beside a GPU a worker has the few that the recipe gives it.
    on_gpu = placement.machine.accelerator is not None
    threads = recipe.resources.cpus_per_worker or 1 if on_gpu else placement.machine.cpus
    found = trials(recipe, config.get_text_config().hidden_size)
    stand_ins = []
    product, copy = peaks(dtype, threads)
    # Where steps leave it open, products go at half of their peak and the rest as fast as a copy.
    prior = replace(prior, flops=product / 2, attention=product / 4, bandwidth=copy)
    for number, trial in enumerate(found):
        with console.status(f"calibrating: steps {number + 1}/{len(found)}"):
            one = lay_out(scratch / str(number), recipe, config, trial, dtype, threads, 1)
            stand_ins.append((one, _steps_of(one.job)))
    measured = [Measured(one, *seconds) for one, seconds in stand_ins]
    rates = fit(measured, placement, prior)
    for one in measured:
        told = f"measured {one.passes:.3f} s a step, fitted {fitted(one, placement, rates):.3f}: {one.of.trial}"
        console.print(told, markup=False, highlight=False, soft_wrap=True)
    deep, shallow = stand_ins[1][0], stand_ins[0][0]
    with console.status("calibrating: weights and answers"):
        rates = replace(rates, load=loading(deep), write=writing(deep.job))
        if recipe.method.type == "qlora":
            rates = replace(rates, quantise=quantising(deep))
        rates = answering(deep, shallow, recipe, rates)
    with console.status("calibrating: workers on Ray"):
        together = 1 if on_gpu else min(2, placement.machine.cpus)
        pair = lay_out(scratch / "ray", recipe, config, found[0], dtype, max(1, threads // together), together)
        seconds = on_ray(pair, max(1, threads // together), int(on_gpu))
        if together > 1:
            rates = replace(rates, exchange=exchanging())
    return fit_workers(pair, seconds, _measured_steps(pair.job), placement, rates)


def _steps_of(job: TrainJob) -> tuple[float, float]:
    """Train in this process; seconds of a step's passes, and of what comes after them."""
    from tunesmith.train.loop import Loop

    Loop(job).run()
    return _measured_steps(job)


def _measured_steps(job: TrainJob) -> tuple[float, float]:
    events = [event for event in read_events(job.folder) if event["event"] == "step"][1:]
    passes = _median([event["passes_seconds"] for event in events])
    rest = _median([event["seconds"] - event["passes_seconds"] - event["stalled_seconds"] for event in events])
    return passes, rest


def _median(values: Sequence[float]) -> float:
    return float(statistics.median(values))
