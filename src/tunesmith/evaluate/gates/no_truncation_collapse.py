"""A tuned model that never stops has lost its end-of-turn token."""

from __future__ import annotations

from tunesmith.evaluate.gates.gate import Decision, Evidence, Gate, GateVerdict

MAX_SHARE_UNREMARKED = 0.5


class NoTruncationCollapse(Gate):
    """Fails when the length limit cut off every tuned answer, warns when most were and more than the base's."""

    name = "no-truncation-collapse"

    def decide(self, evidence: Evidence) -> GateVerdict:
        num_rows = len(evidence.tuned.answers)
        tuned = sum(not answer.finished for answer in evidence.tuned.answers)
        base = sum(not answer.finished for answer in evidence.base.answers)
        figures = {"num_rows": num_rows, "num_cut_off": tuned, "num_cut_off_base": base}
        reason = f"{tuned} of {num_rows} answers were cut off at the length limit (base: {base})"
        if tuned == num_rows:
            advice = "the model no longer ends its turn, or evaluate.decoding.max_new_tokens is too small"
            return self.verdict(Decision.FAIL, f"{reason}; {advice}", figures)
        if tuned > MAX_SHARE_UNREMARKED * num_rows and tuned > base:
            return self.verdict(Decision.WARN, f"{reason}; raise evaluate.decoding.max_new_tokens", figures)
        return self.verdict(Decision.PASS, reason, figures)
