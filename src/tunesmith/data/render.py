"""Conversations to token ids, with the positions that carry loss."""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tunesmith.data.example import BadRow, Example, Message, Origin
from tunesmith.data.template import PROBES, ChatTemplate, Turn
from tunesmith.errors import DataError


@dataclass(frozen=True, slots=True)
class Rendered:
    """Token ids of one conversation and its trained spans [start, end) with their weights, both in tokens."""

    ids: list[int]
    spans: list[tuple[int, int, float]]


class Renderer:
    """A chat template and its tokenizer: conversations in, token ids and trained spans out.

    `stop_ids` are the tokens that end a turn; a trained answer ends with one of them, so that the model learns to stop.

    A conversation is tokenised in pieces, cut where an answer begins and where it ends: the tokens before an answer are
    those of the prompt at inference, whatever the answer starts with. Tokenizers that put a blank in front of each text
    cannot be given pieces; with them the whole is tokenised, and a token across the edge belongs to the prompt.
    """

    def __init__(self, tokenizer: Any, template: ChatTemplate, stop_ids: frozenset[int]) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = tokenizer
        self.template = template
        self.stop_ids = stop_ids
        # A copy, because files may ask for truncation or padding, and calling the tokenizer changes both.
        self._encoder = Tokenizer.from_str(tokenizer._tokenizer.to_str())
        self._encoder.no_truncation()
        self._encoder.no_padding()
        added = self._encoder.get_added_tokens_decoder()
        self._stops = [added[stop] for stop in sorted(stop_ids) if stop in added]
        self._in_pieces = len(self._stops) == len(stop_ids) and self._takes_pieces(added.values())
        takes_space = any(stop.rstrip for stop in self._stops)
        self._stop_pattern = None if takes_space else re.compile("|".join(re.escape(s.content) for s in self._stops))

    def fingerprint(self) -> str:
        """Hash of all that decides the tokens: vocabulary, templates, special tokens, end-of-turn tokens."""
        parts = [
            hashlib.sha256(self._encoder.to_str().encode()).hexdigest(),
            self.template.sources, self.template.special_tokens, sorted(self.stop_ids),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def check(self) -> None:
        """Refuse a model that would never learn to stop. Raises DataError with the template's name."""
        if "assistant" not in self.template.train_on:
            return
        answer: Message = {"role": "assistant", "content": "answer"}
        tried = self([Example([*probe, answer], Origin("probe", 1)) for probe in PROBES])
        if all(isinstance(rendered, BadRow) for rendered in tried):
            bad: BadRow = tried[0]  # type: ignore[assignment]
            raise DataError(bad.what, where="model.source", fix=bad.fix)

    def __call__(self, examples: Sequence[Example]) -> list[Rendered | BadRow]:
        """Render and tokenise a batch; a conversation that cannot be trained on comes back as a BadRow in its place."""
        results: list[Rendered | BadRow | None] = [None] * len(examples)
        texts: list[tuple[int, str, list[Turn]]] = []
        for place, example in enumerate(examples):
            try:
                texts.append((place, *self.template.trained_turns(example)))
            except DataError as error:
                results[place] = BadRow(example.origin, error.what, error.fix or "")
        tokenise = self._tokenise_pieces if self._in_pieces else self._tokenise_whole
        for (place, _, turns), rendered in zip(texts, tokenise(texts), strict=True):
            origin = examples[place].origin
            if rendered is None:
                results[place] = self._never_stops(origin)
            elif not rendered.spans:
                results[place] = _nothing_trained(origin, turns)
            else:
                results[place] = rendered
        return results  # type: ignore[return-value]

    def count(self, examples: Sequence[Example]) -> list[int]:
        """Tokens of each conversation; 0 where it cannot be trained on."""
        return [len(row.ids) if isinstance(row, Rendered) else 0 for row in self(examples)]

    @property
    def special_tokens(self) -> list[str]:
        """Texts that stand for something other than themselves, such as `<|im_end|>`: the audit looks for them."""
        return [token for token in self.tokenizer.all_special_tokens if len(token) > 1]

    def _tokenise_pieces(self, texts: list[tuple[int, str, list[Turn]]]) -> list[Rendered | None]:
        """None stands for a conversation with an answer that does not end."""
        cut = [self._cut(text, turns) for _, text, turns in texts]
        # System messages, class names and line breaks come again and again.
        different = list(dict.fromkeys(piece for pieces in cut for piece, _ in pieces or ()))
        encoded = self._encoder.encode_batch_fast(different, add_special_tokens=False)
        ids_of = {piece: encoding.ids for piece, encoding in zip(different, encoded, strict=True)}
        return [None if pieces is None else self._join(pieces, ids_of) for pieces in cut]

    def _cut(self, text: str, turns: list[Turn]) -> list[tuple[str, Turn | None]] | None:
        """The conversation in pieces, those that are trained with their turn."""
        pieces: list[tuple[str, Turn | None]] = []
        at = 0
        for turn in turns:
            end = self._turn_end(text, turn)
            if end is None:
                return None
            pieces += ((piece, None) for piece in self._behind_stops(text[at : turn.start]))
            pieces.append((text[turn.start : end], turn))
            at = end
        return pieces + [(piece, None) for piece in self._behind_stops(text[at:])]

    def _behind_stops(self, text: str) -> list[str]:
        """Cut behind each end-of-turn token too: no token reaches across one, and the first piece is often the same."""
        if self._stop_pattern is None:
            return [text]
        ends = [0, *(found.end() for found in self._stop_pattern.finditer(text)), len(text)]
        return [text[start:end] for start, end in pairwise(ends)]

    def _join(self, pieces: list[tuple[str, Turn | None]], ids_of: dict[str, list[int]]) -> Rendered | None:
        ids: list[int] = []
        spans = []
        for piece, turn in pieces:
            start = len(ids)
            ids += ids_of[piece]
            if turn is not None and len(ids) > start:
                if turn.is_answer and ids[-1] not in self.stop_ids:
                    return None
                spans.append((start, len(ids), turn.weight))
        return Rendered(ids, spans)

    def _turn_end(self, text: str, turn: Turn) -> int | None:
        """The character behind the token that ends a turn, None when there is none."""
        found = [(at, stop) for stop in self._stops if (at := _find(text, stop.content, turn)) >= 0]
        if not found:
            return None if turn.is_answer else turn.end
        at, stop = (max if turn.content_end is None else min)(found, key=lambda pair: pair[0])
        end = at + len(stop.content)
        if stop.rstrip:  # such a token takes the white space behind it
            end += len(text[end : turn.end]) - len(text[end : turn.end].lstrip())
        return end

    def _tokenise_whole(self, texts: list[tuple[int, str, list[Turn]]]) -> list[Rendered | None]:
        encodings = self._encoder.encode_batch([text for _, text, _ in texts], add_special_tokens=False)
        return [
            self._spans(encoding.ids, [start for start, _ in encoding.offsets], turns)
            for encoding, (_, _, turns) in zip(encodings, texts, strict=True)
        ]

    def _spans(self, ids: list[int], starts: list[int], turns: list[Turn]) -> Rendered | None:
        spans = []
        for turn in turns:
            first, behind = bisect_left(starts, turn.start), bisect_left(starts, turn.end)
            least = first if turn.content_end is None else max(first, bisect_left(starts, turn.content_end))
            stops = [place for place in range(least, behind) if ids[place] in self.stop_ids]
            if stops:
                spans.append((first, (stops[-1] if turn.content_end is None else stops[0]) + 1, turn.weight))
            elif turn.is_answer:
                return None
            elif first < behind:
                spans.append((first, behind, turn.weight))
        return Rendered(ids, spans)

    def _takes_pieces(self, added: Iterable[Any]) -> bool:
        def ids(text: str) -> list[int]:
            return list(self._encoder.encode(text, add_special_tokens=False).ids)

        stops = [stop.content for stop in self._stops]
        return (
            ids("question\nanswer") == ids("question\n") + ids("answer")
            and all(ids(f"{stop}answer") == [*ids(stop), *ids("answer")] for stop in stops)
            and not any(stop in token.content for token in added for stop in stops if token.content != stop)
        )

    def _never_stops(self, origin: Origin) -> BadRow:
        return BadRow(
            origin,
            f"the chat template of {self.template.name} ends the answer with no end-of-turn token, "
            "so the model would never learn to stop",
            "set model.chat_template to one that ends each turn with the tokenizer's eos token",
        )


def _find(text: str, stop: str, turn: Turn) -> int:
    if turn.content_end is None:
        return text.rfind(stop, turn.start, turn.end)
    return text.find(stop, turn.content_end, turn.end)


def _nothing_trained(origin: Origin, turns: list[Turn]) -> BadRow:
    what = "no token of this conversation would be trained"
    return BadRow(origin, what, "give it a turn of a role in data.train_on with a weight above 0")
