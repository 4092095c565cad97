"""Checkpoints: everything a run needs to go on as if it had never stopped. safetensors and JSON only.

There is no random state in one: order of the data, dropout and initial weights follow from the seed and the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith.errors import TrainError
from tunesmith.train.pieces import Pieces
from tunesmith.train.places import Place
from tunesmith.train.progress import Progress

if TYPE_CHECKING:
    from tunesmith.train.strategies import Strategy


def load(place: Place, step: int, strategy: Strategy, identity: dict[str, Any]) -> Progress:
    """Bring parameters and optimizer to a checkpoint's state, in place, whatever strategy and workers wrote it.

    Raises TrainError when it is damaged or of another run; then nothing has been changed.
    """
    progress, pieces = read(place, step, strategy.rank, strategy.world_size)
    changed = sorted(
        key for key in identity.keys() | progress.identity.keys() if progress.identity.get(key) != identity.get(key)
    )
    saved = {key: shape for key, shape in pieces.shapes.items() if key.startswith("parameter/")}
    if changed or saved != {f"parameter/{name}": shape for name, shape in strategy.shapes.items()}:
        raise TrainError(
            f"the checkpoint is of another run (it differs in: {', '.join(changed) or 'trained parameters'})",
            where=place.shown(step),
            fix="train under another recipe name, or remove the run's folder",
        )
    strategy.restore(pieces)
    return progress


def read(place: Place, step: int, rank: int = 0, world_size: int = 1) -> tuple[Progress, Pieces]:
    """Open a checkpoint. The workers share out the checking of its files. Raises TrainError when it is damaged."""
    from safetensors import SafetensorError

    try:
        values, paths = place.fetch(step, rank, world_size)
        return Progress(**values), Pieces(paths)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise TrainError(
            f"the checkpoint is damaged ({reason})",
            where=place.shown(step),
            fix="remove it to go on from the checkpoint before it, or from the start",
        ) from error
