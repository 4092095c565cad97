"""Prompt baselines: the same rows, asked in different ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunesmith.data.example import Example, Message
from tunesmith.errors import EvaluationError
from tunesmith.recipe.evaluate import PromptsSection


@dataclass(frozen=True)
class PromptVariant:
    """One way to ask: a system message in place of the row's own, and examples shown as earlier turns."""

    name: str
    description: str
    instruction: str | None = None
    shots: tuple[Example, ...] = ()

    def messages(self, example: Example) -> list[Message]:
        """The turns before the answer, as this variant asks."""
        prompt = example.prompt
        system = [message for message in prompt if message["role"] == "system"]
        rest = [message for message in prompt if message["role"] != "system"]
        if self.instruction is not None:
            system = [Message(role="system", content=self.instruction)]
        shown = [turn for shot in self.shots for turn in _turns(shot)]
        return [*system, *shown, *rest]


ZERO_SHOT = PromptVariant("zero-shot", "the conversation as it is")


def variants(section: PromptsSection, train: Sequence[Example]) -> list[PromptVariant]:
    """The baselines of the recipe; shots come from the training rows, drawn by the section's seed.

    Raises EvaluationError when more shots are asked for than there are training rows, or fewer than one.
    """
    if any(k < 1 for k in section.few_shot):
        raise EvaluationError(
            f"{min(section.few_shot)} examples cannot be shown",
            where="evaluate.prompts.few_shot",
            fix="give numbers from 1 on; evaluate.prompts.zero_shot shows none",
        )
    most = max((*section.few_shot, 0))
    if most > len(train):
        raise EvaluationError(
            f"{most} examples are to be shown, the training set has {len(train)}",
            where="evaluate.prompts.few_shot",
            fix="lower it",
        )
    order = np.random.default_rng([section.seed, 0x73686F74]).permutation(len(train))[:most]
    shots = tuple(train[index] for index in order)
    found = [ZERO_SHOT] if section.zero_shot else []
    found += [
        PromptVariant(f"{k}-shot", f"{k} training examples shown first", None, shots[:k])
        for k in dict.fromkeys(section.few_shot)
    ]
    for number, text in enumerate(section.instructions, 1):
        name = f"instruction {number}" if len(section.instructions) > 1 else "instruction"
        found.append(PromptVariant(name, f"system message: {text}", text))
        for k in section.few_shot[:1]:
            found.append(
                PromptVariant(f"{name}, {k}-shot", f"system message: {text}; {k} training examples", text, shots[:k])
            )
    if not found:
        raise EvaluationError(
            "there is no prompt to compare with",
            where="evaluate.prompts",
            fix="set evaluate.prompts.zero_shot: true, or give few_shot or instructions",
        )
    return found


def _turns(shot: Example) -> list[Message]:
    """An example as earlier turns, without its own system message."""
    return [turn for turn in [*shot.prompt, answer_turn(shot)] if turn["role"] != "system"]


def answer_turn(example: Example) -> Message:
    """The last assistant turn with all it says, tool calls too, whatever weight it had in training."""
    turn = example.messages[len(example.prompt)]
    return Message({key: value for key, value in turn.items() if key != "weight"})  # type: ignore[typeddict-item]
