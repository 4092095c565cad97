"""Conversations to token ids, with the positions that carry loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.data.example import BadRow, Example
from tunesmith.data.template import ChatTemplate, Turn
from tunesmith.errors import DataError


@dataclass(frozen=True, slots=True)
class Rendered:
    """Token ids of one conversation and its trained spans [start, end) with their weights, both in tokens."""

    ids: list[int]
    spans: list[tuple[int, int, float]]


class Renderer:
    """A chat template and its tokenizer: conversations in, token ids and trained spans out.

    `stop_ids` are the tokens that end a turn; a trained turn ends with one of them, so that the model learns to stop.
    """

    def __init__(self, tokenizer: Any, template: ChatTemplate, stop_ids: frozenset[int]) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.stop_ids = stop_ids

    def check(self) -> None:
        """Refuse a model that would never learn to stop. Raises DataError with the template's name."""
        probe = Example(
            [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}], origin=None
        )  # type: ignore[arg-type]
        rendered = self([probe])[0]
        if isinstance(rendered, BadRow):
            raise DataError(f"{rendered.what}", where="model.source", fix=rendered.fix)

    def __call__(self, examples: Sequence[Example]) -> list[Rendered | BadRow]:
        """Render and tokenise a batch; a conversation that cannot be trained on comes back as a BadRow in its place."""
        results: list[Rendered | BadRow | None] = [None] * len(examples)
        texts, turns, places = [], [], []
        for place, example in enumerate(examples):
            try:
                text, found = self.template.trained_turns(example)
            except DataError as error:
                results[place] = BadRow(example.origin, error.what, error.fix or "")
                continue
            texts.append(text)
            turns.append(found)
            places.append(place)
        encodings = self.tokenizer._tokenizer.encode_batch(texts, add_special_tokens=False) if texts else []
        for place, encoding, found in zip(places, encodings, turns, strict=True):
            results[place] = self._mark(examples[place], encoding, found)
        return results  # type: ignore[return-value]

    def _mark(self, example: Example, encoding: Any, turns: list[Turn]) -> Rendered | BadRow:
        ids = encoding.ids
        spans = []
        for turn in turns:
            first = _token_at(encoding, turn.start, turn.end)
            last = _token_before(encoding, turn.start, turn.end)
            if first is None or last is None:
                continue
            while last >= first and ids[last] not in self.stop_ids:
                last -= 1
            if last < first:
                return BadRow(
                    example.origin,
                    f"the chat template of {self.template.name} ends the answer with no end-of-turn token, "
                    "so the model would never learn to stop",
                    "set model.chat_template to one that ends each turn with the tokenizer's eos token",
                )
            spans.append((first, last + 1, turn.weight))
        if not spans:
            return BadRow(
                example.origin,
                "no token of this conversation would be trained",
                "give it a turn of a role in data.train_on with a weight above 0",
            )
        return Rendered(ids, spans)


def _token_at(encoding: Any, start: int, end: int) -> int | None:
    """The first token that begins at or after a character: one that straddles the edge belongs to the prompt."""
    for char in range(start, end):
        token = encoding.char_to_token(char)
        if token is not None and encoding.token_to_chars(token)[0] >= start:
            return int(token)
    return None


def _token_before(encoding: Any, start: int, end: int) -> int | None:
    for char in range(end - 1, start - 1, -1):
        token = encoding.char_to_token(char)
        if token is not None:
            return int(token)
    return None
