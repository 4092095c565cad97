"""The steps from the data audit to a registered version."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tunesmith.errors import DataError
from tunesmith.evaluate.gates import Decision, GateVerdict
from tunesmith.evaluate.result import EvaluationReport
from tunesmith.monitor.retrain.contest import Answers, answer
from tunesmith.monitor.retrain.gates import GATES, Shown
from tunesmith.monitor.retrain.gates.before import AUDIT, BUDGET, data_audit, within_budget
from tunesmith.monitor.retrain.gates.people import PEOPLE
from tunesmith.monitor.retrain.journal import Step
from tunesmith.monitor.retrain.work import Result, Work
from tunesmith.train import expected as plans

OURS = (AUDIT, BUDGET, *GATES, PEOPLE)
"""Gates of a retrain, in the order they are asked; the others are the recipe's own."""


def audit(work: Work) -> Result:
    """Prepare the dataset version; the audit may refuse it."""
    try:
        verdict = data_audit(work.planned)
    except DataError as error:
        verdict = data_audit(error)
    return gated(work, verdict, fatal=True)


def budget(work: Work) -> Result:
    """Plan the run, and hold it to what it may cost."""
    expected = plans.expect(work.planned, work.home)
    verdict = within_budget(expected, work.own.recipe.budget)
    if expected is not None and verdict.passed:
        plans.keep(expected, work.planned.job.folder)
    return gated(work, verdict, fatal=True)


def train(work: Work) -> Result:
    """Train, go on from the last checkpoint, or find the finished run."""
    from tunesmith.train.run import train as run

    result = run(work.planned, work.console, work.in_process)
    evidence: dict[str, Any] = {"run": work.planned.run_id, "steps": result.steps, "seconds": result.seconds}
    evidence["planned_and_actual"] = {
        one.name: [one.expected, one.actual] for one in plans.compare(work.planned.job.folder, result)
    }
    return Result("done", f"{work.planned.run_id}: {result.steps} steps in {result.seconds / 60:.1f} minutes", evidence)


def evaluate(work: Work) -> Result:
    """The comparison with base model and best prompt, and the recipe's own gates."""
    report, folder = _report(work)
    own = [verdict for verdict in report.verdicts if verdict.name not in OURS]
    failed = [verdict for verdict in own if not verdict.passed]
    told = "; ".join(f"{verdict.name}: {verdict.reason}" for verdict in failed or own)
    evidence = {"report": str(folder / "report.html"), "verdicts": {one.name: one.decision.value for one in own}}
    verdict = "fail" if failed else "pass"
    changes = {"failed": [*work.retrain.state.get("failed", []), *(one.name for one in failed)]}
    return Result(verdict, told, evidence, changes=changes)


def ask(work: Work) -> Result:
    """Champion, challenger and base answer the rows that the gates decide on."""
    champion = work.champion
    revision = work.planned.ingredients.model.revision
    if champion.kind == "adapter" and champion.base_revision != revision:
        return Result.stop(
            f"{champion.reference} was trained on {champion.base_model}, and cannot answer on another base model"
        )
    _ = work.result  # whose files may have been lost with the machine that trained
    with work.console.status("champion and challenger answer") as status:
        answers = answer(
            work.planned, champion, partial(work.registry.fetch, champion), work.home, work.folder,
            lambda what, done, total: status.update(f"answering: {what} {done}/{total}"),
        )  # fmt: skip
    sizes = {"new": len(answers.new.rows), "old": len(answers.old.rows), "text": len(answers.text.base),
             "tasks": len(answers.tasks.base)}  # fmt: skip
    told = ", ".join(f"{count} {name}" for name, count in sizes.items())
    return Result("done", f"champion and challenger answered: {told}", {"rows": sizes})


def gate(name: str) -> Any:
    """The step that asks one of the gates on answers. A version that fails one is shown to the others all the same."""

    def asked(work: Work) -> Result:
        return gated(work, _decide(work, name), fatal=False)

    return asked


def register(work: Work) -> Result:
    """Register what was trained with the verdict of all gates together: passed, or failed and never served."""
    from tunesmith.run.register import register as into

    report, folder = _report(work)
    ours = [_of_step(step) for step in _asked(work)]
    own = tuple(verdict for verdict in report.verdicts if verdict.name not in OURS)
    whole = replace(report, verdicts=(*own, *ours))
    compared = plans.compare(work.planned.job.folder, work.result)
    version, _ = into(work.planned, whole, folder, work.home, compared)
    evidence = {"version": version.reference, "verdict": version.verdict, "report": str(folder / "report.html")}
    if version.reference == work.retrain.state["champion"]:
        return Result.stop("what was trained is the champion itself: nothing has changed", evidence)
    if version.verdict != "passed":
        failed = ", ".join(verdict.name for verdict in whole.verdicts if not verdict.passed)
        found = Result.stop(f"{version.reference} is registered as failed: {failed}", evidence)
        return replace(found, changes={**found.changes, "version": version.reference})
    return Result("done", f"registered as {version.reference}", evidence, changes={"version": version.reference})


def gated(work: Work, verdict: GateVerdict, fatal: bool) -> Result:
    """What a verdict makes of the retrain: a `fatal` failure ends it, others are kept until it is registered."""
    work.say(f"gate {verdict.name}: {verdict.decision.value}, {verdict.reason}")
    if verdict.passed:
        return Result(verdict.decision.value, verdict.reason, verdict.evidence)
    if fatal:
        return Result.stop(f"{verdict.name}: {verdict.reason}", verdict.evidence)
    failed = [*work.retrain.state.get("failed", []), verdict.name]
    return Result("fail", verdict.reason, verdict.evidence, changes={"failed": failed})


def answers_of(work: Work) -> Answers:
    """What champion and challenger answered; made again where it was lost."""
    _ = work.result  # whose files may have been lost with the machine that trained
    return answer(
        work.planned, work.champion, partial(work.registry.fetch, work.champion), work.home, work.folder,
        lambda what, done, total: None,
    )  # fmt: skip


def _report(work: Work) -> tuple[EvaluationReport, Path]:
    from tunesmith.run.evaluation import evaluate_run

    report, folder = evaluate_run(work.planned, work.result, work.home, work.console)
    return report, folder


def _decide(work: Work, name: str) -> GateVerdict:
    return GATES[name].decide(Shown(answers_of(work), work.own.recipe.evaluate, work.section.gates))


def _asked(work: Work) -> list[Step]:
    """The last word of each of our gates, but for people who were not asked."""
    last = {step.step: step for step in work.journal.steps(work.name, work.retrain.number)}
    return [last[name] for name in OURS if name != PEOPLE or (name in last and last[name].verdict != "skip")]


def _of_step(step: Step) -> GateVerdict:
    """A gate's verdict as it was written down."""
    return GateVerdict(step.step, Decision(step.verdict), step.reason, dict(step.evidence))
