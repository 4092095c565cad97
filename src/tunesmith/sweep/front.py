"""Which trials nobody should pass over: none other is better for as few dollars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tunesmith.sweep.record import Report, Trial


def front_of(trials: Iterable[Trial]) -> list[Trial]:
    """The Pareto front of validation loss against dollars of training, the cheapest first.

    A trial stands where its best checkpoint was written, whether it went on from there or not.
    """
    front: list[Trial] = []
    placed = [(best, trial) for trial in trials if (best := trial.best) is not None]
    for best, trial in sorted(placed, key=lambda pair: (pair[0].usd, pair[0].loss)):
        if not front or best.loss < _best(front[-1]).loss:
            front.append(trial)
    return front


def knee_of(front: Sequence[Trial]) -> Trial | None:
    """Where the front bends most: past it, a dollar gains less than before. None with fewer than three trials.

    The one furthest below the straight line between the ends, both axes scaled to 1 (Satopaa et al. 2011,
    doi:10.1109/ICDCSW.2011.20).
    """
    if len(front) < 3:
        return None
    cheapest, best = _best(front[0]), _best(front[-1])
    dollars, losses = float(best.usd - cheapest.usd), cheapest.loss - best.loss

    def below(trial: Trial) -> float:
        point = _best(trial)
        return (cheapest.loss - point.loss) / losses - float(point.usd - cheapest.usd) / dollars

    knee = max(front[1:-1], key=below)
    return knee if below(knee) > 0 else None


def _best(trial: Trial) -> Report:
    assert trial.best is not None
    return trial.best
