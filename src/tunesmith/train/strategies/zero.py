"""DeepSpeed's ZeRO: optimizer state (1), gradients too (2), parameters too (3) shared out among the workers."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from tunesmith.models.outline import unread
from tunesmith.train.optimizer import make_optimizer
from tunesmith.train.pieces import Piece, Pieces
from tunesmith.train.strategies.group import ensure_group
from tunesmith.train.strategies.strategy import OPTIMIZER, PARAMETER, Strategy

MOMENTS = ("exp_avg", "exp_avg_sq")
STEP = "step"
PARTS = 16
"""DeepSpeed keeps gathered what is used again within a billion values, and looks that far ahead at every module: over
a whole small model, again and again. A sixteenth of the model is as far as that is in one of 70B in 4 bits."""


def reduce_bucket(trained_values: int) -> int:
    """Values that gradients are reduced in at a time: DeepSpeed's default, which stage 3 sets aside for the whole run.

    That is 2 GB in float32, too much beside an adapter, so never more than are trained.
    """
    return max(1, min(500_000_000, trained_values))


class Zero(Strategy):
    """A DeepSpeed engine around the model (Rajbhandari et al. 2020, arXiv:1910.02054).

    Workers hold flat partitions: of all parameters together in stages 1 and 2, of each parameter in stage 3.
    """

    stage: int

    def wrap(self, model: Any) -> Any:
        """The engine, whose optimizer is DeepSpeed's around ours."""
        if self.device.type == "cpu":
            os.environ["DS_ACCELERATOR"] = "cpu"
        os.environ.setdefault("LOCAL_RANK", str(self.device.index or 0))
        import deepspeed

        ensure_group()
        _compile_nothing(deepspeed)
        deepspeed.init_distributed(dist_backend="gloo" if self.device.type == "cpu" else "nccl", verbose=False)
        self._read(model)
        optimizer = make_optimizer([p for p in model.parameters() if p.requires_grad], self.section)
        engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=self._config(model))
        return engine

    def _read(self, model: Any) -> None:
        """Read the weights that have not been read."""

    def _optimizer(self) -> Any:
        return self.model.optimizer

    def _config(self, model: Any) -> dict[str, Any]:
        trained = sum(math.prod(shape) for shape in self.shapes.values())
        zero: dict[str, Any] = {"stage": self.stage, "reduce_bucket_size": reduce_bucket(trained)}
        if self.stage == 3:
            # A weight that has been cut already has no values of its own.
            part = sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters()) // PARTS
            zero |= {
                "stage3_param_persistence_threshold": 0,
                "stage3_max_reuse_distance": min(1_000_000_000, part),
                "stage3_prefetch_bucket_size": min(50_000_000, part),
            }
        if self.resources.offload != "none":
            zero["offload_optimizer"] = self._place()
            if self.resources.offload == "all" and self.stage == 3:
                zero["offload_param"] = self._place()
        return {
            # Micro-batches are counted by the loop, which says when one is the last.
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "gradient_clipping": self.section.max_grad_norm,
            "zero_optimization": zero,
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "bf16": {"enabled": self.compute is torch.bfloat16},
            "steps_per_print": 1 << 60,
        }

    def _place(self) -> dict[str, Any]:
        folder = self.resources.offload_folder
        return {"device": "nvme", "nvme_path": folder} if folder else {"device": "cpu", "pin_memory": False}

    def computing(self, last: bool = True) -> AbstractContextManager[Any]:
        """Tell the engine whether this is the step's last micro-batch."""
        self.model.set_gradient_accumulation_boundary(last)
        return nullcontext()

    def backward(self, loss: torch.Tensor) -> None:
        """The engine averages over workers; times their number that is the sum."""
        self.model.backward(loss * self.world_size)

    def step(self, rate: float, max_norm: float) -> float:
        """The engine clips and steps; where the gradients are no numbers it moves nothing."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.step()
        norm = self.model.get_global_grad_norm()
        return math.nan if norm is None or self.optimizer.overflow else float(norm)

    def drop(self) -> None:
        """The engine goes through its step, in which the AdamW inside it moves nothing."""
        inner = self.optimizer.optimizer
        inner.step = lambda *_, **__: None
        try:
            self.model.set_gradient_accumulation_boundary(True)
            self.model.step()
        finally:
            del inner.step

    def held(self) -> dict[str, int]:
        """As the strategy's own; the optimizer is the one inside DeepSpeed's."""
        parameters = sum(self._size(p) for p in self.model.module.parameters())
        moments = [value for state in self.optimizer.optimizer.state.values() for value in state.values() if value.ndim]
        return {"parameters": parameters, "optimizer": sum(value.numel() for value in moments)}

    def pieces(self) -> Iterator[Piece]:
        """The partitions, in float32, by the names of the parameters they are of."""
        state = next(iter(self.optimizer.optimizer.state.values()), {})
        for name, parameter in self.parameters.items():
            for key in (PARAMETER, *(f"{OPTIMIZER}/{moment}" for moment in MOMENTS if moment in state)):
                if (part := self._part(parameter, key.removeprefix(f"{OPTIMIZER}/"))) is not None:
                    yield Piece(f"{key}/{name}", self.shapes[name], *part)
            if STEP in state:
                yield self._piece(f"{OPTIMIZER}/{STEP}/{name}", torch.as_tensor(state[STEP]))

    def restore(self, pieces: Pieces) -> None:
        """Fill the partitions, then the copies to compute with."""
        has_state = any(key.startswith(OPTIMIZER) for key in pieces.shapes)
        if has_state:
            step = pieces.whole(f"{OPTIMIZER}/{STEP}/{next(iter(self.parameters))}")
            for flat in self._partitions():
                moments = {moment: torch.zeros_like(flat, requires_grad=False) for moment in MOMENTS}
                self.optimizer.optimizer.state[flat] = {STEP: step.clone(), **moments}
            self._link()
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                for key in (PARAMETER, *(f"{OPTIMIZER}/{moment}" for moment in MOMENTS if has_state)):
                    if (part := self._part(parameter, key.removeprefix(f"{OPTIMIZER}/"))) is not None:
                        start, values = part
                        values.copy_(pieces.read(f"{key}/{name}", start, start + len(values)))
            self._refresh()

    def _part(self, parameter: Any, key: str) -> tuple[int, torch.Tensor] | None:
        """Where this worker's partition of a parameter or a moment begins, and its values, to read and to write."""
        mapping = parameter._hp_mapping
        if mapping is None:
            return None
        return mapping.lp_fragment_address.start, mapping.get_hp_fragment(None if key == PARAMETER else key)

    def _partitions(self) -> list[torch.Tensor]:
        """What this worker's AdamW moves: flat tensors of float32."""
        return list(self.optimizer.single_partition_of_fp32_groups)

    def _link(self) -> None:
        # DeepSpeed does it once: after a second restore its views would be of the state before that.
        self.optimizer._hp_optimizer_states_linked = False
        self.optimizer._lazy_init_hp_params_optimizer_state()

    def _refresh(self) -> None:
        self.optimizer.update_lp_params()


class Zero1(Zero):
    """Optimizer state is shared out."""

    stage = 1


class Zero2(Zero):
    """Optimizer state and gradients are shared out, so gradients travel with every micro-batch."""

    stage = 2
    lockstep = True


class Zero3(Zero):
    """Optimizer state, gradients and parameters are shared out."""

    stage = 3
    lockstep = True
    cuts_weights = True
    whole_modules = True

    def _read(self, model: Any) -> None:
        """Each weight is read where this worker's partition of it lies, and cut before the next one is read."""
        import deepspeed

        if not (stored := unread(model)):
            return
        # Set up as for a whole model, which here is an empty one; `deepspeed.initialize` finds everything cut.
        cut = deepspeed.zero.Init(module=torch.nn.Module(), config_dict_or_path=self._config(model))
        for name, parameter in model.named_parameters():
            if name in stored:
                values = torch.empty(parameter.shape, dtype=self.compute or parameter.dtype, device=self.device)
                length = -(-values.numel() // self.world_size)
                start = min(self.rank * length, values.numel())
                stored[name].fill(values.view(-1)[start : start + length], start)
                parameter.data = values
                del values
            cut._convert_to_deepspeed_param(parameter)
            parameter.partition()

    def let_go(self) -> None:
        """DeepSpeed keeps weights that it will need again soon."""
        self.model.empty_partition_cache()

    def _part(self, parameter: Any, key: str) -> tuple[int, torch.Tensor] | None:
        values = self._values(parameter, None if key == PARAMETER else key)
        # Partitions are equally long; the last one is filled up with what belongs to no parameter.
        start = min(self.rank * len(values), parameter.ds_numel)
        return start, values[: min(len(values), parameter.ds_numel - start)]

    def _size(self, tensor: Any) -> int:
        size: int = tensor.ds_tensor.numel()
        return size

    def _values(self, parameter: Any, key: str | None = None) -> torch.Tensor:
        values: torch.Tensor = self.optimizer._get_fp32_opt_state_partition(parameter, False, key)[0]
        return values

    def _partitions(self) -> list[torch.Tensor]:
        return list(self.optimizer.fp32_partitioned_groups_flat)

    def _link(self) -> None:
        """States are looked up where they are."""

    def _refresh(self) -> None:
        for parameter in self.parameters.values():
            parameter.ds_tensor.data.copy_(self._values(parameter))


def _compile_nothing(deepspeed: Any) -> None:
    """Its shared-memory collectives would be built by a compiler at the first use, for a minute and a half."""
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
