"""Gates: one file each, listed here in the order they are asked."""

from __future__ import annotations

from tunesmith.evaluate.gates.beats_best_prompt import BeatsBestPrompt
from tunesmith.evaluate.gates.gate import Decision, Evidence, Gate, GateVerdict
from tunesmith.evaluate.gates.no_truncation_collapse import NoTruncationCollapse
from tunesmith.evaluate.gates.not_identical_to_base import NotIdenticalToBase

GATES: dict[str, Gate] = {gate.name: gate for gate in (NotIdenticalToBase(), NoTruncationCollapse(), BeatsBestPrompt())}

__all__ = ["GATES", "Decision", "Evidence", "Gate", "GateVerdict", "decide_all"]


def decide_all(evidence: Evidence) -> tuple[GateVerdict, ...]:
    """Ask every gate; a version passes when no verdict fails."""
    return tuple(gate.decide(evidence) for gate in GATES.values())
