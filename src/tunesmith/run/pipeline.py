"""From a recipe to a registered, measured version, each step skipped when it was done before."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.evaluate.result import EvaluationReport
from tunesmith.models.servable import CONFIG, adapter_config, why_not
from tunesmith.registry.version import Version
from tunesmith.run.evaluation import evaluate_run
from tunesmith.run.register import register
from tunesmith.train.expected import Compared, compare
from tunesmith.train.run import Planned, plan_run, train

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.recipe.load import LoadedRecipe
    from tunesmith.store.home import Home


@dataclass(frozen=True)
class Outcome:
    """What a run came to: the report, where it lies, the registered version, and the seconds this call took.

    `compared` is what training was planned to hold, take and cost beside what it did.
    """

    report: EvaluationReport
    folder: Path
    version: Version
    seconds: float
    compared: tuple[Compared, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures, without the answers."""
        return {
            "version": self.version.reference,
            "verdict": self.version.verdict,
            "reasons": list(self.version.reasons),
            "figures": self.version.report,
            "report": str(self.folder / "report.html"),
            "seconds": self.seconds,
            "planned_and_actual": [asdict(one) for one in self.compared],
        }


def run_recipe(
    loaded: LoadedRecipe,
    home: Home,
    console: Console,
    in_process: bool = False,
    approve: Callable[[Planned], None] = lambda planned: None,
) -> Outcome:
    """Audit, prepare, train, evaluate, register. `console` shows progress; nothing is printed to standard output.

    `approve` is called before anything is spent on training, and may raise.
    Raises TunesmithError for what the user can mend; a failed gate is a result, not an error: see `version.verdict`.
    """
    began = time.perf_counter()
    planned = plan_run(loaded, home, console)
    approve(planned)
    result = train(planned, console, in_process)
    report, folder = evaluate_run(planned, result, home, console)
    compared = compare(planned.job.folder, result)
    version, report = register(planned, report, folder, home, compared)
    if version.kind == "adapter":
        config = adapter_config((planned.artefact / CONFIG).read_bytes())
        if (reason := why_not(config)) is not None:
            console.print(f"warning: vLLM cannot serve {version.reference}: {reason}", markup=False, soft_wrap=True)
    return Outcome(report, folder, version, time.perf_counter() - began, tuple(compared))
