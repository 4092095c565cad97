"""What a retrained version must show besides its recipe's own gate: one file each, listed in the order they are asked.

`data_audit` and `within_budget` are asked before anything is trained, people when all of these have passed, and parity
once an engine has the version.
"""

from __future__ import annotations

from tunesmith.monitor.retrain.gates.beats_champion import BeatsChampion
from tunesmith.monitor.retrain.gates.gate import Gate, Shown
from tunesmith.monitor.retrain.gates.general_ability import GeneralAbility
from tunesmith.monitor.retrain.gates.old_rows import OldRows
from tunesmith.monitor.retrain.gates.safe_words import SafeWords

GATES: dict[str, Gate] = {gate.name: gate for gate in (BeatsChampion(), OldRows(), GeneralAbility(), SafeWords())}

__all__ = ["GATES", "Gate", "Shown"]
