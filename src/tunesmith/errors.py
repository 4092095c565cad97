"""Errors a user can cause: what is wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class TunesmithError(Exception):
    """A mistake the user can mend. The command line prints it without a traceback and exits 2.

    `what` is one sentence without a full stop, `where` a place the user can open (`recipe.yaml:12`, `rows.jsonl:3`,
    `data.train`), `fix` one sentence saying what to do.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  fix: {self.fix}" if self.fix else ""
        return f"{place}{self.what}{advice}"


class RecipeError(TunesmithError):
    """The recipe cannot be read or does not make sense."""


class DataError(TunesmithError):
    """The rows cannot be used as they are."""


class ModelError(TunesmithError):
    """The base model or the adapter cannot be found or used."""


class ModelNotHere(ModelError):
    """The base model is known by name, but this machine has none of its files and cannot fetch them."""


class TrainError(TunesmithError):
    """A run cannot start or go on."""


class PlanError(TunesmithError):
    """A run cannot be planned, does not fit, or costs more than it may."""


class EvaluationError(TunesmithError):
    """An evaluation cannot be made or means nothing."""


class StoreError(TunesmithError):
    """The database or the artefact store cannot be reached or is not as expected."""


class RegistryError(TunesmithError):
    """A version or alias does not exist or may not change."""


class GateFailed(TunesmithError):
    """A gate said no. The command line exits 1: nothing is broken, the result is not good enough."""

    exit_code = 1


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Name the nearest known word, or list them all when none is near."""
    words = sorted(known)
    near = get_close_matches(word, words, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(words)}"
