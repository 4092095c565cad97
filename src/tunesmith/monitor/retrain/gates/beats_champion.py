"""On what is new, the challenger must be better than the champion, by more than chance."""

from __future__ import annotations

from tunesmith.evaluate.gates import GateVerdict
from tunesmith.monitor.retrain.gates.gate import Gate, Shown, against_champion, figures, said


class BeatsChampion(Gate):
    """Passes when the lower end of the interval of the improvement on the new held-out rows lies above zero."""

    name = "beats-champion"

    def decide(self, shown: Shown) -> GateVerdict:
        found = against_champion(shown.answers.new, shown.evaluate)
        if isinstance(found, str):
            return self.verdict(
                False, f"cannot tell on the new held-out rows: {found}", num_rows=len(shown.answers.new.rows)
            )
        passed = (found.improvement_low or 0.0) > 0
        end = f"its lower end {'lies' if passed else 'does not lie'} above zero"
        return self.verdict(passed, f"on the new held-out rows: {said(found)}; {end}", **figures(found))
