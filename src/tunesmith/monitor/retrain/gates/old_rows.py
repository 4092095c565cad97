"""On what the champion was judged by, the challenger must not be worse than a margin: nothing is forgotten."""

from __future__ import annotations

from tunesmith.evaluate.gates import GateVerdict
from tunesmith.monitor.retrain.gates.gate import Gate, Shown, against_champion, figures, said


class OldRows(Gate):
    """Passes when the lower end of the interval of the difference on the frozen old test rows lies above minus
    `margin_old`: a test of not being worse, so that too few rows do not pass."""

    name = "old-rows"

    def decide(self, shown: Shown) -> GateVerdict:
        margin = shown.gates.margin_old
        found = against_champion(shown.answers.old, shown.evaluate)
        if isinstance(found, str):
            rows = len(shown.answers.old.rows)
            return self.verdict(False, f"cannot tell on the old held-out rows: {found}", num_rows=rows, margin=margin)
        passed = (found.improvement_low or 0.0) >= -margin
        end = f"its lower end {'lies' if passed else 'does not lie'} above -{margin:g}"
        return self.verdict(passed, f"on the old held-out rows: {said(found)}; {end}", margin=margin, **figures(found))
