"""All of it together, as values to print or to hand on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tunesmith.recipe.schema import Recipe
from tunesmith.train.explain.activations import Activations, activations
from tunesmith.train.explain.collectives import Collective, collectives, gathered_bytes, micro_batches
from tunesmith.train.explain.holdings import Held, holdings
from tunesmith.train.explain.setting import Setting, setting_of

MAX_LIVE = 1_000_000_000
"""Values that DeepSpeed's stage 3 keeps gathered at once (`stage3_max_live_parameters`)."""


@dataclass(frozen=True)
class Explanation:
    """What a run holds before it runs.

    `shapes_from` names where the shapes were read. `held` is exact, of worker 0, which never holds less than another;
    `gathered`, `unpacked` and `activations` come on top while it computes; `loading` is the most a worker holds of
    the base while it reads it: where weights are cut its share, a weight at a time, else all of it. Bytes throughout.
    """

    setting: Setting
    shapes_from: str
    held: list[Held]
    gathered: int
    unpacked: int
    activations: Activations
    loading: int
    collectives: list[Collective]
    micro_batches: int

    @property
    def lasting(self) -> int:
        """What lies where the worker computes, at the end of a step's backward passes."""
        return sum(one.bytes for one in self.held if not one.offloaded)

    @property
    def offloaded(self) -> int:
        """What lies in memory instead."""
        return sum(one.bytes for one in self.held if one.offloaded)

    @property
    def activation_bytes(self) -> int:
        """Where the worker computes, as the recipe says: all, with gradient checkpointing, or kept in memory."""
        section = self.setting.recipe.train
        if section.activation_offload:
            return self.activations.offloaded
        return self.activations.checkpointed if section.gradient_checkpointing else self.activations.kept

    @property
    def peak(self) -> int:
        """An estimate of the most a worker needs at once."""
        return max(self.loading, self.lasting + self.gathered + self.unpacked + self.activation_bytes)

    def parameters(self) -> dict[str, Any]:
        """How many parameters there are, and how many of them are trained."""
        setting = self.setting
        base, trained = setting.base_values, setting.trained_values
        return {
            "base": base,
            "trained": trained,
            "trained_share": trained / (base + trained if setting.recipe.method.has_adapter else base),
        }

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        setting, resources = self.setting, self.setting.recipe.resources
        made = self.activations
        return {
            "shapes_from": self.shapes_from,
            "method": setting.recipe.method.type,
            "strategy": setting.strategy,
            "workers": setting.workers,
            "offload": resources.offload,
            "computes_in": str(setting.compute).removeprefix("torch."),
            "parameters": self.parameters(),
            "each_worker": {
                "held": [asdict(one) for one in self.held],
                "lasting_bytes": self.lasting,
                "offloaded_bytes": self.offloaded,
                "gathered_bytes": self.gathered,
                "unpacked_bytes": self.unpacked,
                "activations": {
                    "bytes": self.activation_bytes,
                    "without_checkpointing_bytes": made.kept,
                    "with_checkpointing_bytes": made.checkpointed,
                    "with_offload_bytes": made.offloaded,
                    "tokens": made.tokens,
                    "labels": made.labels,
                },
                "reads_share": setting.reads_share,
                "loading_bytes": self.loading,
                "peak_bytes": self.peak,
            },
            "micro_batches_per_step": self.micro_batches,
            "collectives_per_step": [asdict(one) for one in self.collectives],
        }


def explain(recipe: Recipe, config: Any, shapes_from: str, label_share: float = 1.0) -> Explanation:
    """Say what each worker of a recipe would hold, by the model's config alone. Takes seconds for 70B, and no weights.

    `label_share` of the tokens is learnt. Raises ModelError where the model cannot be trained like that.
    """
    setting = setting_of(recipe, config)
    return Explanation(
        setting,
        shapes_from,
        holdings(setting),
        _gathered(setting),
        _unpacked(setting),
        activations(setting, label_share),
        _loading(setting),
        collectives(setting),
        micro_batches(setting),
    )


def _gathered(setting: Setting) -> int:
    """Whole tensors that stay a while: FSDP's layer of the moment, the next, and what is outside of layers; ZeRO 3's
    live ones; copies that autocast makes of float32 weights."""
    *layers, rest = setting.groups()
    sizes = [sum(gathered_bytes(setting, weight) for weight in group) for group in layers]
    outside = sum(gathered_bytes(setting, weight) for weight in rest)
    if setting.strategy == "fsdp":
        return outside + sum(sorted(sizes)[-2:])
    if setting.strategy == "zero3":
        values = sum(weight.stored_values for weight in setting.weights)
        return round((outside + sum(sizes)) * min(1.0, MAX_LIVE / values))
    if setting.strategy == "ddp" and setting.converts:
        return sum(weight.values for weight in setting.weights) * setting.compute.itemsize
    return 0


def _loading(setting: Setting) -> int:
    """The base as it is read; scales of quantised weights are whole everywhere, and DoRA needs whole weights."""
    sizes = [weight.bytes for weight in setting.weights]
    scales = sum(weight.scales for weight in setting.weights)
    if setting.reads_share:
        return sum(sizes) // setting.workers + max(sizes) + scales
    return sum(sizes) + scales


def _unpacked(setting: Setting) -> int:
    """The largest packed layer as floats, while it is multiplied with."""
    packed = [weight.values for weight in setting.weights if weight.quantised]
    return max(packed, default=0) * setting.compute.itemsize
