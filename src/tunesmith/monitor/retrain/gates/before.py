"""The two gates that are asked before anything is trained: the data audit, and a plan within its budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tunesmith.errors import DataError
from tunesmith.evaluate.gates import Decision, GateVerdict
from tunesmith.plan.money import usd

if TYPE_CHECKING:
    from tunesmith.recipe.budget import BudgetSection
    from tunesmith.train.expected import Expected
    from tunesmith.train.run import Planned

AUDIT, BUDGET = "data-audit", "within-budget"


def data_audit(planned: Planned | DataError) -> GateVerdict:
    """Whether the audit takes the new dataset version; `data.audit.fail_on` of the recipe decides what it refuses."""
    if isinstance(planned, DataError):
        where = {"where": planned.where, "fix": planned.fix}
        return GateVerdict(AUDIT, Decision.FAIL, planned.what, where)
    dataset = planned.dataset
    sizes = {part: dataset.counts(part)["examples"] for part in ("train", "validation", "test")}
    findings = dataset.manifest.get("findings", {})
    found = ", ".join(f"{count} {code}" for code, count in findings.items()) or "nothing"
    rows = ", ".join(f"{count:,} {part}" for part, count in sizes.items())
    evidence = {
        "dataset_version": dataset.version,
        "rows": sizes,
        "findings": findings,
        "page": str(dataset.folder / "audit.html"),
    }
    return GateVerdict(
        AUDIT, Decision.PASS, f"dataset {dataset.version}: {rows} rows; the audit found {found}", evidence
    )


def within_budget(expected: Expected | None, budget: BudgetSection) -> GateVerdict:
    """Whether training is expected to fit the machine and to cost and take no more than it may.

    Without a limit only the memory is looked at; with one, a plan that cannot be made fails.
    """
    limits: dict[str, Any] = {"max_usd": budget.max_usd, "max_hours": budget.max_hours}
    limited = budget.max_usd is not None or budget.max_hours is not None
    if expected is None:
        reason = "no plan can be made for this model or these machines"
        decision = Decision.FAIL if limited else Decision.WARN
        return GateVerdict(
            BUDGET, decision, f"{reason}, and {'there is a limit' if limited else 'no limit is set'}", limits
        )
    hours = expected.seconds / 3600
    evidence = {**limits, "usd": str(expected.usd), "hours": hours if math.isfinite(hours) else None,
                "machine": expected.machine, "memory": expected.verdict}  # fmt: skip
    told = f"{usd(expected.usd)} and {hours:.2f} hours on {expected.machine}"
    if expected.verdict == "OOM":
        return GateVerdict(BUDGET, Decision.FAIL, f"it does not fit the memory of {expected.machine}", evidence)
    if budget.max_usd is not None and float(expected.usd) > budget.max_usd:
        return GateVerdict(BUDGET, Decision.FAIL, f"planned: {told}; it may cost ${budget.max_usd:g}", evidence)
    if budget.max_hours is not None and hours > budget.max_hours:
        return GateVerdict(BUDGET, Decision.FAIL, f"planned: {told}; it may take {budget.max_hours:g} hours", evidence)
    return GateVerdict(
        BUDGET, Decision.PASS, f"planned: {told}; {'within its budget' if limited else 'no limit is set'}", evidence
    )
