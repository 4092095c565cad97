"""From a recipe to a registered, measured version, each step skipped when it was done before."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.evaluate.result import EvaluationReport
from tunesmith.registry.version import Version
from tunesmith.run.evaluation import evaluate_run
from tunesmith.run.register import register
from tunesmith.train.run import plan_run, train

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.recipe.load import LoadedRecipe
    from tunesmith.store.home import Home


@dataclass(frozen=True)
class Outcome:
    """What a run came to: the report, where it lies, the registered version, and the seconds this call took."""

    report: EvaluationReport
    folder: Path
    version: Version
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The figures, without the answers."""
        return {
            "version": self.version.reference,
            "verdict": self.version.verdict,
            "reasons": list(self.version.reasons),
            "figures": self.version.report,
            "report": str(self.folder / "report.html"),
            "seconds": self.seconds,
        }


def run_recipe(loaded: LoadedRecipe, home: Home, console: Console, in_process: bool = False) -> Outcome:
    """Audit, prepare, train, evaluate, register. `console` shows progress; nothing is printed to standard output.

    Raises TunesmithError for what the user can mend; a failed gate is a result, not an error: see `version.verdict`.
    """
    began = time.perf_counter()
    planned = plan_run(loaded, home, console)
    result = train(planned, console, in_process)
    report, folder = evaluate_run(planned, result, home, console)
    version, report = register(planned, report, folder, home)
    return Outcome(report, folder, version, time.perf_counter() - began)
