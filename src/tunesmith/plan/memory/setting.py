"""The facts of a run that its memory follows from, gathered once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tunesmith.plan.memory.habits import Habits
from tunesmith.plan.memory.tensors import Tensor, tensors_of
from tunesmith.plan.memory.term import Where
from tunesmith.plan.shape import ModelShape
from tunesmith.recipe.schema import Recipe


@dataclass(frozen=True)
class Setting:
    """A model's shape and who trains it how.

    `compute` is the itemsize of the type to compute in, `label_share` the share of tokens that is learnt, `document`
    the tokens of a row's longest document.
    """

    shape: ModelShape
    recipe: Recipe
    workers: int
    on_gpu: bool
    compute: int
    label_share: float
    document: int
    habits: Habits

    @cached_property
    def tensors(self) -> list[Tensor]:
        """Every parameter, in the model's order."""
        return tensors_of(self.shape, self.recipe.method, self.compute, self.habits.full_bytes)

    @cached_property
    def trained(self) -> list[Tensor]:
        """Those that are trained."""
        return [tensor for tensor in self.tensors if tensor.trained]

    @cached_property
    def trained_values(self) -> int:
        """How many numbers are trained."""
        return sum(tensor.values for tensor in self.trained)

    @property
    def strategy(self) -> str:
        """How the workers share the model."""
        return self.recipe.resources.strategy

    @property
    def converts(self) -> bool:
        """Whether weights in float32 are computed with in another type."""
        return not self.recipe.method.has_adapter and self.compute != self.habits.full_bytes

    @property
    def kept(self) -> int:
        """Bytes of a trained value: DeepSpeed's engine converts all weights."""
        if self.converts and self.strategy.startswith("zero"):
            return self.compute
        return self.habits.adapter_bytes if self.recipe.method.has_adapter else self.habits.full_bytes

    @property
    def keeps_packed_inputs(self) -> bool:
        """Whether quantised layers keep what goes into them, as those of 8 bits do (bitsandbytes 0.50.2)."""
        method = self.recipe.method
        return method.type == "qlora" and (method.quantisation == "int8" or self.habits.packed_inputs_kept)

    @property
    def here(self) -> Where:
        """Where the worker computes."""
        return "device" if self.on_gpu else "host"

    @property
    def away(self) -> Where:
        """Where it offloads to."""
        return "disk" if self.recipe.resources.offload_folder else "host"

    @property
    def tokens(self) -> int:
        """Of a micro-batch of full rows: the loop takes one row at a time where dropout draws."""
        section = self.recipe.train
        rows = 1 if self.recipe.method.dropout else max(1, section.micro_batch_tokens // section.sequence_length)
        return rows * section.sequence_length

    @property
    def labels(self) -> int:
        """Learnt tokens of a micro-batch: a document's first token never is."""
        length = self.recipe.train.sequence_length
        return self.tokens // length * max(1, round((length - 1) * self.label_share))

    @property
    def logits(self) -> int:
        """Rows that the head computes."""
        return self.tokens if self.habits.all_logits else self.labels

    def groups(self) -> list[list[Tensor]]:
        """The tensors of each decoder layer, and last those outside of all layers."""
        found: list[list[Tensor]] = [[] for _ in range(self.shape.num_layers + 1)]
        for tensor in self.tensors:
            found[tensor.layer].append(tensor)
        return found


def compute_itemsize(recipe: Recipe, on_gpu: bool, bfloat16: bool | None = None) -> int:
    """Bytes of the type to compute in: what the recipe says, else bfloat16 where the hardware has it.

    `bfloat16` says whether it has; None for a GPU that does, and for this machine's CPU.
    """
    if recipe.base.dtype != "auto":
        return 4 if recipe.base.dtype == "float32" else 2
    if bfloat16 is None:
        bfloat16 = on_gpu or _cpu_has_bfloat16()
    return 2 if bfloat16 else 4


def _cpu_has_bfloat16() -> bool:
    """Whether this machine multiplies bfloat16, as `models.load` asks torch: AVX512-BF16 or AMX."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_tile" in flags
