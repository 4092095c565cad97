"""The tuned model must be better than the best prompt, by more than chance and more than a margin."""

from __future__ import annotations

from tunesmith.evaluate.gates.gate import Decision, Evidence, Gate, GateVerdict


class BeatsBestPrompt(Gate):
    """Passes when the lower end of the interval of the improvement over the best prompt lies above the margin."""

    name = "beats-best-prompt"

    def decide(self, evidence: Evidence) -> GateVerdict:
        metric, margin = evidence.section.metric, evidence.section.margin
        found = evidence.comparison(metric, evidence.best_prompt.name)
        if found is None:
            return self.verdict(
                Decision.FAIL, f"{metric} was not compared with the best prompt", {"metric": metric, "margin": margin}
            )
        low, high = found.improvement_low, found.improvement_high
        figures = {
            "metric": metric, "margin": margin, "baseline": found.baseline, "num_rows": found.num_rows,
            "improvement": found.improvement, "low": low, "high": high, "confidence": found.confidence,
            "p_value": found.p_value,
        }  # fmt: skip
        if found.higher_is_better is None:
            return self.verdict(Decision.FAIL, f"{found.title} describes answers without judging them", figures)
        if low is None or high is None:
            return self.verdict(Decision.FAIL, f"{found.title} cannot decide: {found.note}", figures)
        passed = low > margin
        ends = f"improvement {found.improvement:+.4g}, {found.confidence:.0%} interval {low:+.4g} to {high:+.4g}"
        side = f"its lower end {'lies' if passed else 'does not lie'} above the margin of {margin:g}"
        reason = f"{found.title} over the best prompt ({found.baseline}): {ends}; {side}"
        return self.verdict(Decision.PASS if passed else Decision.FAIL, reason, figures)
