"""A tuned model that answers exactly as the base does was not tuned, or its adapter was not used."""

from __future__ import annotations

from tunesmith.evaluate.gates.gate import Decision, Evidence, Gate, GateVerdict


class NotIdenticalToBase(Gate):
    """Fails when every answer of the tuned model equals the base's, character by character."""

    name = "not-identical-to-base"

    def decide(self, evidence: Evidence) -> GateVerdict:
        pairs = list(zip(evidence.tuned.answers, evidence.base.answers, strict=True))
        num_equal = sum(tuned.text == base.text for tuned, base in pairs)
        num_equal_losses = sum(tuned.nll == base.nll for tuned, base in pairs)
        figures = {"num_rows": len(pairs), "num_equal_answers": num_equal, "num_equal_losses": num_equal_losses}
        if num_equal < len(pairs):
            changed = len(pairs) - num_equal
            return self.verdict(Decision.PASS, f"{changed} of {len(pairs)} answers differ from the base's", figures)
        if num_equal_losses == len(pairs):
            cause = "and every loss as well: the adapter had no effect, so it was not loaded or never learned"
        else:
            cause = (
                "though losses differ: the adapter is in use but had no effect on any answer; train longer or faster"
            )
        return self.verdict(Decision.FAIL, f"all {len(pairs)} answers equal the base's, {cause}", figures)
