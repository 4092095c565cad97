"""What the training loop asks of a parallelism strategy."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tunesmith.models.held import HeldBase
from tunesmith.models.outline import unread
from tunesmith.models.probe import check_packed
from tunesmith.models.trainable import load_trainable
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.recipe.train import TrainSection
from tunesmith.train.optimizer import make_optimizer
from tunesmith.train.pieces import Piece, Pieces, share_of

PARAMETER, OPTIMIZER = "parameter", "optimizer"


class Strategy(ABC):
    """One worker's view of the workers' common model.

    The loop divides each loss by the weight of the whole global batch, so gradients are summed over workers, not
    averaged, and the result does not depend on their number.

    After `set_up`, `model` is what the loop calls, `parameters` are the trained ones by the names they had before, and
    `shapes` their whole shapes, of which a worker may hold a part.
    """

    lockstep = False
    """Whether every micro-batch talks to the other workers, so that all must have as many."""

    cuts_weights = False
    """Whether a worker holds only a share of each weight, where there are others."""

    whole_modules = False
    """Whether weights may only be used by their own module's forward pass."""

    model: Any
    parameters: dict[str, torch.nn.Parameter]
    shapes: dict[str, tuple[int, ...]]
    optimizer: Any

    def __init__(self, rank: int, world_size: int, resources: ResourcesSection, device: torch.device) -> None:
        self.rank, self.world_size = rank, world_size
        self.resources, self.device = resources, device
        self.warnings: list[str] = []

    def load(
        self,
        folder: Path,
        section: ModelSection,
        method: MethodSection,
        seed: int,
        cache: Path,
        held: HeldBase | None = None,
    ) -> tuple[Any, torch.dtype]:
        """The model as `load_trainable` gives it, and the type to compute in.

        Where weights are cut they are not read yet: `set_up` reads this worker's share. A model that must be loaded
        whole for it is named in `warnings`.
        """
        in_shares = self.cuts_weights and self.world_size > 1
        told = self.warnings.append if in_shares else None
        return load_trainable(folder, section, method, self.device, seed, cache, told, held)

    def set_up(self, model: Any, section: TrainSection, compute: torch.dtype | None = None) -> None:
        """Make the model one that all workers train together, and its optimizer.

        `compute` is the type to compute in where it is not that of the weights, which stay as they are. Weights that
        have not been read are read now, and the attention is checked. Raises ModelError when it is not supported.
        """
        self.section, self.compute = section, compute
        self.shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
        was_unread = bool(unread(model))
        self.model = self.wrap(model)
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.optimizer = self._optimizer()
        if was_unread:
            check_packed(model.eval(), compute)
            self.let_go()  # or weights restored from a checkpoint would not be seen

    def _optimizer(self) -> Any:
        return make_optimizer(self.parameters.values(), self.section)

    @abstractmethod
    def wrap(self, model: Any) -> Any:
        """Share the model out in place; returns what the loop calls."""

    def let_go(self) -> None:
        """Forget the whole weights that a pass has left behind, where weights are cut."""
        raise NotImplementedError

    def computing(self, last: bool = True) -> AbstractContextManager[Any]:
        """A context for the passes of a micro-batch, the `last` of a step or not."""
        return nullcontext()

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of a micro-batch. Workers average theirs; times their number that is the sum."""
        (loss * self.world_size).backward()

    def step(self, rate: float, max_norm: float) -> float:
        """Move the weights at a learning rate, with the summed gradients scaled down to an L2 norm.

        Returns the norm before that. 0 only measures. Nothing moves when the norm is no number.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        norm = self._clip(max_norm if max_norm > 0 else math.inf)
        if math.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def drop(self) -> None:
        """Forget the gradients of a step that is not to be taken."""
        self.optimizer.zero_grad(set_to_none=True)

    def _clip(self, max_norm: float) -> float:
        return float(torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), max_norm))

    def sum(self, values: list[float]) -> list[float]:
        """Add numbers up over the workers, in float64; every worker gets the sums."""
        if self.world_size == 1:
            return values
        kind = torch.float64 if self.device.type != "mps" else torch.float32
        tensor = torch.tensor(values, dtype=kind, device=self.device)
        dist.all_reduce(tensor)
        return [float(value) for value in tensor]

    def held(self) -> dict[str, int]:
        """How many values of parameters and of optimizer state lie with this worker between steps."""
        parameters = sum(self._size(p) for p in self.model.parameters())
        state = [value for entries in self.optimizer.state.values() for value in entries.values()]
        moments = [value for value in state if isinstance(value, torch.Tensor) and value.ndim]
        return {"parameters": parameters, "optimizer": sum(map(self._size, moments))}

    def _size(self, tensor: Any) -> int:
        size: int = tensor.numel()
        return size

    def pieces(self) -> Iterator[Piece]:
        """This worker's part of parameters and optimizer state; those of all workers make up the whole."""
        for name, parameter in self.parameters.items():
            yield self._piece(f"{PARAMETER}/{name}", parameter)
            for key, value in self.optimizer.state.get(parameter, {}).items():
                yield self._piece(f"{OPTIMIZER}/{key}/{name}", torch.as_tensor(value))

    def restore(self, pieces: Pieces) -> None:
        """Take parameters and optimizer state from those of a checkpoint, in place."""
        self.optimizer.state.clear()
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                self._fill(parameter, pieces, f"{PARAMETER}/{name}")
        for key, shape in pieces.shapes.items():
            kind, _, rest = key.partition("/")
            entry, _, name = rest.partition("/")
            if kind == OPTIMIZER:
                parameter = self.parameters[name]
                state: Any = self._restored(parameter, pieces, key, shape == self.shapes[name])
                # bitsandbytes counts its steps in a plain number.
                plain = state.ndim == 0 and not state.dtype.is_floating_point
                self.optimizer.state[parameter][entry] = int(state) if plain else state

    def _piece(self, key: str, tensor: torch.Tensor) -> Piece:
        return share_of(key, tensor, self.rank, self.world_size)

    def _restored(self, parameter: Any, pieces: Pieces, key: str, alike: bool) -> torch.Tensor:
        """An entry of the optimizer's state; `alike` when it has the parameter's shape."""
        return pieces.whole(key).to(self.device)

    def _fill(self, tensor: torch.Tensor, pieces: Pieces, key: str) -> None:
        """Copy this worker's part of a saved tensor into what it holds of it."""
        tensor.copy_(pieces.whole(key))
