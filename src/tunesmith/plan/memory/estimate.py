"""The memory of one worker, before anything is downloaded or spent."""

from __future__ import annotations

from tunesmith.plan.memory.framework import checkpoint, framework, heap, slack
from tunesmith.plan.memory.habits import OURS, Habits
from tunesmith.plan.memory.held import held, partition
from tunesmith.plan.memory.moments import loading, moments
from tunesmith.plan.memory.setting import Setting, compute_itemsize
from tunesmith.plan.memory.term import MemoryEstimate, Term
from tunesmith.plan.shape import ModelShape
from tunesmith.recipe.schema import Recipe


def estimate_memory(
    shape: ModelShape,
    recipe: Recipe,
    workers: int,
    on_gpu: bool,
    label_share: float = 1.0,
    *,
    bfloat16: bool | None = None,
    document_tokens: int | None = None,
    habits: Habits = OURS,
) -> MemoryEstimate:
    """What the worker that needs most needs, at the moment at which it needs most.

    `label_share` of the tokens is learnt; `bfloat16` says whether the hardware computes in it, by default that GPUs do
    and what this machine's CPU does; `document_tokens` is the longest document's length, by default a whole row. Raises
    ModelError when the method names what the model does not have.
    """
    return at_its_peak(
        setting_of(
            shape,
            recipe,
            workers,
            on_gpu,
            label_share,
            bfloat16=bfloat16,
            document_tokens=document_tokens,
            habits=habits,
        )
    )


def setting_of(
    shape: ModelShape,
    recipe: Recipe,
    workers: int,
    on_gpu: bool,
    label_share: float = 1.0,
    *,
    bfloat16: bool | None = None,
    document_tokens: int | None = None,
    habits: Habits = OURS,
) -> Setting:
    """Gather what `estimate_memory` is asked about."""
    compute = compute_itemsize(recipe, on_gpu, bfloat16)
    document = min(document_tokens or recipe.train.sequence_length, recipe.train.sequence_length)
    return Setting(shape, recipe, workers, on_gpu, compute, label_share, document, habits)


def at_its_peak(setting: Setting) -> MemoryEstimate:
    """The terms of the moment with the largest sum where the worker computes, and elsewhere of the moment with the
    largest sum there: what is offloaded is not in memory yet while the base loads, which may be the GPU's peak."""
    start = framework(setting)
    lasting = [*start, *held(setting), *_offload_buffers(setting)]
    added = {name: _with_slack(setting, terms) for name, terms in moments(setting).items()}
    copy = checkpoint(setting)
    if setting.on_gpu or setting.recipe.resources.checkpoints:  # still there when the next step is under way
        lasting.append(copy)
    else:
        added["saving"] = [copy, heap(setting)]
    found = {name: [*lasting, *terms] for name, terms in added.items()}
    place = setting.away if setting.recipe.resources.offload == "all" else setting.here
    found["loading"] = [*start, Term("the base while it is read", loading(setting), "as it is stored", place)]
    name = _fullest(found, setting.here)
    peaks = {place: _fullest(found, place, name) for place in ("device", "host", "disk")}
    terms = [term for term in found[name] if peaks[term.where] == name]
    for where, moment in peaks.items():
        terms += [term for term in found[moment] if term.where == where and moment != name]
    return MemoryEstimate(tuple(term for term in terms if term.bytes), name)


def _fullest(found: dict[str, list[Term]], place: str, rather: str | None = None) -> str:
    """The moment with the largest sum in a place; `rather` this one of those that are equal."""
    sums = {name: sum(term.bytes for term in terms if term.where == place) for name, terms in found.items()}
    return max(sums, key=lambda name: (sums[name], name == rather))


def _with_slack(setting: Setting, terms: list[Term]) -> list[Term]:
    if not setting.on_gpu:
        return [*terms, heap(setting)]
    return [*terms, slack(setting, sum(term.bytes for term in terms if term.where == "device"))]


def _offload_buffers(setting: Setting) -> list[Term]:
    """Gradients that DeepSpeed keeps in memory for the optimizer there: 16 bytes a value in all, with copy and state
    (its `estimate_zero2_model_states_mem_needs`)."""
    if not setting.strategy.startswith("zero") or setting.recipe.resources.offload == "none":
        return []
    part = partition(setting)
    return [Term("gradients for the offloaded optimizer", 4 * part, f"{part:,} values x 4 bytes", "host")]
