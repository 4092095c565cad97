"""Rates from measured steps: a few numbers with a meaning, by least squares on relative errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.plan.hardware import Placement
from tunesmith.plan.time.exchange import exchanges
from tunesmith.plan.time.graph import graph_of
from tunesmith.plan.time.rates import Rates
from tunesmith.plan.time.team import team_of
from tunesmith.plan.time.work import SHORT, training_work
from tunesmith.run.stand_in import STEPS, StandIn

TRUSTED, ROUNDS = 0.05, 30
"""A measurement that is further off than this share counts less, so that one taken while the machine was busy with
something else does not bend the others (Huber 1964, by weights found anew in every round)."""

PULL = 0.05
"""Weight of a rate's assumed value beside the measurements': only what they do not tell is taken from it."""


@dataclass(frozen=True)
class Measured:
    """A stand-in's step: seconds of its passes, and of what comes after them."""

    of: StandIn
    passes: float
    rest: float


def fit(measured: Sequence[Measured], placement: Placement, prior: Rates) -> Rates:
    """Seconds are operations / flops + those of kernels / attention + bytes / bandwidth + weights / unpack
    + micro-batches x layers x dispatch.

    All five are kept from being negative (Lawson & Hanson 1974, chapter 23).
    """
    import numpy as np
    from scipy.optimize import nnls

    guesses = np.array([1 / prior.flops, 1 / prior.attention, 1 / prior.bandwidth, 1 / prior.unpack, prior.dispatch])
    rows, wanted = [], []
    for one in measured:
        amounts = np.array(_amounts(one.of, placement, prior))
        rows.append(amounts * guesses / one.passes)
        wanted.append(1.0)
    for number in range(len(guesses)):
        rows.append(PULL * np.eye(len(guesses))[number])
        wanted.append(PULL)
    left, right = np.array(rows), np.array(wanted)
    weights = np.ones(len(right))
    for _ in range(ROUNDS):
        factors, _ = nnls(left * weights[:, None], right * weights)
        off = np.abs(left @ factors - right)[: len(measured)]
        weights[: len(measured)] = np.minimum(1.0, TRUSTED / np.maximum(off, 1e-9))
    # A rate without bounds cannot be written down; a hundred times the guess comes to the same.
    flops, attention, bandwidth, unpack, dispatch = guesses * np.maximum(factors, [0.01] * 4 + [0.0])
    step = float(np.median([one.rest for one in measured]))
    return replace(
        prior,
        flops=float(1 / flops),
        attention=float(1 / attention),
        bandwidth=float(1 / bandwidth),
        unpack=float(1 / unpack),
        dispatch=float(dispatch),
        step=step,
    )


def fitted(one: Measured, placement: Placement, rates: Rates) -> float:
    """Seconds that rates say of a stand-in's passes."""
    flops, attended, moved, unpacked, calls = _amounts(one.of, placement, rates)
    busy = flops / rates.flops + attended / rates.attention + moved / rates.bandwidth + unpacked / rates.unpack
    return busy + calls * rates.dispatch


def _amounts(of: StandIn, placement: Placement, prior: Rates) -> tuple[float, float, float, float, float]:
    """Of one worker's step: operations, those of kernels, bytes, unpacked weights, layers times micro-batches."""
    graph = graph_of(of.shape, of.recipe.method, of.trial.checkpointing)
    workload = of.workload
    team = team_of(of.recipe, placement, workload, prior)
    part = workload.trained.times(team.share / workload.steps)
    plain = not team.on_gpus and of.trial.document <= SHORT
    work = training_work(
        of.shape, of.recipe.method, graph, part, team.micro_batches, plain, prior.itemsize, of.trial.checkpointing
    )
    return work.flops, work.attended, work.moved, work.unpacked, float(team.micro_batches * of.shape.num_layers)


def fit_workers(pair: StandIn, seconds: float, steps: tuple[float, float], placement: Placement, rates: Rates) -> Rates:
    """What a run on Ray adds: `seconds` of all of it, of which `steps` took so long each, passes and rest.

    What the steps take longer than these rates say is put down to workers that share the machine's memory and caches,
    what the run takes besides its steps and its model to the start and end of Ray and of the workers.
    """
    graph = graph_of(pair.shape, pair.recipe.method)
    even = replace(rates, sharing=1.0)
    team = team_of(pair.recipe, placement, pair.workload, even)
    if team.on_a_machine > 1:
        sent = exchanges(pair.shape, pair.recipe, graph, team.workers, team.micro_batches, rates.itemsize)
        travelling = sum(one.sent(team.workers) for one in sent) / rates.exchange
        calls = rates.dispatch * pair.shape.num_layers * team.micro_batches
        flops, attended, moved, unpacked, _ = _amounts(pair, placement, even)
        inside = (flops / rates.flops + moved / rates.bandwidth + unpacked / rates.unpack) / team.speed
        inside += attended / rates.attention / team.speed
        sharing = max(0.5, (steps[0] - travelling - calls) / inside) ** (1 / math.log2(team.on_a_machine))
        even = replace(even, sharing=sharing)
    # The first step makes room for everything, and takes about as long as two others.
    training = (STEPS + 1) * sum(steps)
    loading = pair.shape.parameters * rates.itemsize * team.on_a_machine / rates.load
    return replace(even, start_up=max(1.0, seconds - training - loading))
