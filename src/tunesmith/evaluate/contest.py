"""One way of asking, one model, the same rows: generated answers and likelihoods of the references."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tunesmith.data.example import BadRow, Example, Message
from tunesmith.data.render import Renderer
from tunesmith.data.template import ChatTemplate
from tunesmith.errors import DataError, EvaluationError
from tunesmith.evaluate.answers import Answer, Contestant, ContestantKind, TestRow
from tunesmith.evaluate.generate import generate
from tunesmith.evaluate.likelihood import negative_log_likelihoods
from tunesmith.evaluate.prompts import ZERO_SHOT, PromptVariant, answer_turn
from tunesmith.recipe.evaluate import DecodingSection

Report = Callable[[str, int, int], None]
"""Told what is being done, how many rows of it are done, and of how many."""

OPENING = 4
"""Tokens of a text that are given, before its continuation is scored."""


@dataclass(frozen=True)
class Contest:
    """What all contestants have in common: base and adapter, template, decoding.

    `model` is the base with an adapter on it; or, where whole weights were tuned, those, and `base` is the base.
    """

    model: Any
    renderer: Renderer
    decoding: DecodingSection
    report: Report = lambda what, done, total: None
    base: Any = None

    def answer(
        self, name: str, kind: ContestantKind, variant: PromptVariant, rows: Sequence[Example], likelihood: bool = True
    ) -> Contestant:
        """Let the base (`prompt`) or what was tuned (`tuned`) answer every row, asked as the variant asks.

        Without `likelihood` the answers have none, which is enough for metrics of the text. Raises EvaluationError when
        a prompt leaves no room for an answer.
        """
        asked = [self._ids(variant, row) for row in rows]
        prompts = [prompt for prompt, _ in asked]
        references = [reference for _, reference in asked]
        self._check_room(prompts, references, name)
        with self._answering(kind) as model:
            texts = generate(
                model,
                self.renderer.tokenizer,
                prompts,
                self.decoding,
                self.renderer.stop_ids,
                self._step(name, rows),
            )
            sums = [0.0] * len(rows)
            if likelihood:
                told = self._step(f"{name}: likelihood", rows)
                sums = negative_log_likelihoods(model, prompts, references, told)
        answers = tuple(
            Answer(text.text, nll, len(reference), len(self._reference(row).encode(errors="replace")), text.finished)
            for row, reference, text, nll in zip(rows, references, texts, sums, strict=True)
        )
        return Contestant(name, kind, variant.description, answers)

    def likelihoods(
        self, name: str, rows: Sequence[Example], kind: ContestantKind = "tuned"
    ) -> list[tuple[float, int]]:
        """Nats of each row's reference answer and its tokens, as what was tuned, or the base, finds it; nothing is
        generated.

        Raises EvaluationError when a row is none, or has no room.
        """
        asked = [self._ids(ZERO_SHOT, row) for row in rows]
        prompts, references = [prompt for prompt, _ in asked], [reference for _, reference in asked]
        self._check_room(prompts, references, name)
        with self._answering(kind) as model:
            sums = negative_log_likelihoods(model, prompts, references, self._step(name, rows))
        return [(nats, len(reference)) for nats, reference in zip(sums, references, strict=True)]

    def readable(self, rows: Sequence[Example]) -> list[int]:
        """Which rows the template takes and the model has room for, by number."""
        found = []
        for number, row in enumerate(rows):
            try:
                prompt, reference = self._ids(ZERO_SHOT, row)
                self._check_room([prompt], [reference], str(row.origin))
            except (DataError, EvaluationError):
                continue
            found.append(number)
        return found

    def text_losses(self, kind: ContestantKind, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Nats and tokens of each text after its first few tokens, without a template around it."""
        ids = [self.renderer.tokenizer(text, add_special_tokens=False).input_ids for text in texts]
        if short := [text for text, own in zip(texts, ids, strict=True) if len(own) <= OPENING]:
            raise EvaluationError(f"a text of {len(short[0])} characters is too short to be continued")
        with self._answering(kind) as model:
            sums = negative_log_likelihoods(
                model, [own[:OPENING] for own in ids], [own[OPENING:] for own in ids],
                self._step(f"{kind}: general text", texts),
            )  # fmt: skip
        return [(nats, len(own) - OPENING) for nats, own in zip(sums, ids, strict=True)]

    @contextmanager
    def _answering(self, kind: ContestantKind) -> Iterator[Any]:
        """The model that answers: the base for a prompt, else what was tuned."""
        if kind == "prompt" and self.base is not None:
            yield self.base
            return
        with self.model.disable_adapter() if kind == "prompt" else nullcontext():
            yield self.model

    def test_row(self, row: Example) -> TestRow:
        """The row as the report shows it: the prompt as text, without the template's markers; the reference as the
        text that a model would have to write, tool calls too."""
        text = "\n\n".join(f"{message['role']}: {message['content']}" for message in row.prompt)
        return TestRow(text, self._reference(row), row.label, str(row.origin))

    def _reference(self, row: Example) -> str:
        if not answer_turn(row).get("tool_calls"):
            return row.reference
        text: str = self.renderer.tokenizer.decode(self._ids(ZERO_SHOT, row)[1], skip_special_tokens=True)
        return text.strip()

    def _ids(self, variant: PromptVariant, row: Example) -> tuple[list[int], list[int]]:
        """Token ids of the prompt, ending where the answer begins, and of the reference answer with its end."""
        earlier = [Message({**turn, "weight": 0.0}) for turn in variant.messages(row)]
        rendered = self._scored([replace(row, messages=[*earlier, answer_turn(row)])])
        if isinstance(rendered[0], BadRow):
            raise EvaluationError(rendered[0].what, where=str(row.origin), fix=rendered[0].fix)
        start, end, _ = rendered[0].spans[-1]
        return rendered[0].ids[:start], rendered[0].ids[start:end]

    @cached_property
    def _scored(self) -> Renderer:
        """The renderer that trains on answers, whatever roles the recipe trains on."""
        template = ChatTemplate(self.renderer.tokenizer, self.renderer.template.name)
        return Renderer(self.renderer.tokenizer, template, self.renderer.stop_ids)

    def _check_room(self, prompts: Sequence[Sequence[int]], references: Sequence[Sequence[int]], name: str) -> None:
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        longest = max(map(len, prompts)) + max(self.decoding.max_new_tokens, max(map(len, references)))
        if limit is not None and longest > limit:
            raise EvaluationError(
                f"prompt and answer of '{name}' take up to {longest} tokens, the model has {limit}",
                where="evaluate.prompts",
                fix="show fewer examples, or lower evaluate.decoding.max_new_tokens",
            )

    def _step(self, what: str, rows: Sequence[Any]) -> Callable[[int], None]:
        done = 0

        def told(count: int) -> None:
            nonlocal done
            done += count
            self.report(what, done, len(rows))

        return told
