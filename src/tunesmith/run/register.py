"""A finished, evaluated run as a version in the registry."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.evaluate.render import write_report
from tunesmith.evaluate.result import EvaluationReport
from tunesmith.plan.ledger import Ledger
from tunesmith.recipe.fingerprint import fingerprint
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion, Version
from tunesmith.store.home import Home
from tunesmith.train.expected import Compared
from tunesmith.train.run import Planned


def register(
    planned: Planned, report: EvaluationReport, folder: Path, home: Home, compared: Sequence[Compared] = ()
) -> tuple[Version, EvaluationReport]:
    """Register what was trained with its lineage and verdict; the report on disk then names the version.

    The same weights, recipe and verdict are the same version, however often this is called.
    """
    model = planned.ingredients.model
    registry = Registry.open(home)
    try:
        version = registry.register(
            NewVersion(
                name=planned.recipe.name,
                kind="adapter" if planned.recipe.method.has_adapter else "full",
                base_model=model.source,
                base_revision=model.revision,
                recipe_hash=fingerprint(planned.recipe),
                recipe=_anywhere(planned),
                created_by=_user(),
                dataset_version=planned.dataset.version,
                run_id=planned.run_id,
                report=_summary(report),
                report_uri=str(folder / "report.json"),
                verdict="passed" if report.passed else "failed",
                reasons=tuple(f"{verdict.name}: {verdict.reason}" for verdict in report.verdicts),
                metrics={
                    **{result.name: result.value for result in report.contestant(report.tuned).results},
                    "cost_usd": float(Ledger.read(planned.job.folder).usd),
                    **{f"planned_{one.name}": one.expected for one in compared},
                    **{f"actual_{one.name}": one.actual for one in compared},
                },
            ),
            planned.artefact,
        )
    finally:
        registry.close()
    command = f"tunesmith chat {version.reference}" if version.kind == "adapter" else None
    named = report.registered_as(version.reference, command)
    if named != report:
        write_report(named, folder)
    return version, named


def _anywhere(planned: Planned) -> dict[str, Any]:
    """The recipe, with a base model that lies on this machine by its whole path: it is read from other folders too."""
    recipe = planned.recipe.model_dump(mode="json")
    source = Path(planned.recipe.model.source).expanduser()
    local = planned.ingredients.preparation.folder / source
    if "://" not in planned.recipe.model.source and local.exists():
        recipe["model"]["source"] = str(local.resolve())
    return recipe


def _summary(report: EvaluationReport) -> dict[str, Any]:
    """The figures of the report, without its texts."""
    return {
        "contestants": {one.name: {result.name: result.value for result in one.results} for one in report.contestants},
        "best_prompt": report.best_prompt,
        "comparisons": [
            {
                "metric": c.metric,
                "baseline": c.baseline,
                "difference": c.difference,
                "low": c.low,
                "high": c.high,
                "p": c.p_value,
            }
            for c in report.comparisons
        ],
        "rows": len(report.rows),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
