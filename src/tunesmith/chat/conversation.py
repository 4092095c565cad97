"""A conversation with a tuned model: answers as they come, what was said before, base or adapter."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from tunesmith.data.example import Message
from tunesmith.data.template import ChatTemplate
from tunesmith.errors import ModelError
from tunesmith.evaluate.generate import generation_arguments
from tunesmith.models.load import choose_device, load_tokenizer, stop_token_ids
from tunesmith.recipe.evaluate import DecodingSection

if TYPE_CHECKING:
    from pathlib import Path

    from tunesmith.models.tuned import Tuned

MAX_NEW_TOKENS = 512
"""Longest answer of a chat, unless the user says otherwise; an evaluation's is shorter."""

Show = Callable[[str], None]
"""Given each piece of the answer's text as it comes."""


@dataclass(frozen=True)
class Reply:
    """An answer: who gave it, whether the model ended it itself, tokens in and out, seconds."""

    text: str
    by: str
    finished: bool
    prompt_tokens: int
    answer_tokens: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Conversation:
    """The turns so far and the model that takes part. `use_base` switches the adapter off."""

    def __init__(
        self, tuned: Tuned, model: Any, tokenizer: Any, stop_ids: frozenset[int], decoding: DecodingSection
    ) -> None:
        self.tuned, self.model, self.tokenizer = tuned, model, tokenizer
        self.stop_ids, self.decoding = stop_ids, decoding
        self.template = ChatTemplate(tokenizer, tuned.base.source)
        self.use_base = False
        self.reset()
        torch.manual_seed(decoding.seed)

    @classmethod
    def open(cls, tuned: Tuned, start: Path, **decoding: Any) -> Conversation:
        """Load base, adapter and tokenizer; `decoding` changes settings of the recipe's own, such as `temperature`.

        Raises ModelError when they cannot be loaded or do not belong together.
        """
        settings = (tuned.recipe.get("evaluate") or {}).get("decoding") or {}
        known = {key: value for key, value in settings.items() if key in ("temperature", "stop", "seed")}
        section = DecodingSection.model_validate({**known, "max_new_tokens": MAX_NEW_TOKENS, **decoding})
        tokenizer = load_tokenizer(tuned.base.folder, tuned.section, start)
        model = tuned.load(choose_device())
        return cls(tuned, model, tokenizer, stop_token_ids(tokenizer, tuned.base.folder), section)

    def reset(self) -> None:
        """Forget what was said; the recipe's system message stays."""
        system = self.tuned.system
        self.messages: list[Message] = [] if system is None else [Message(role="system", content=system)]

    @property
    def speaker(self) -> str:
        """Who would answer now."""
        return f"{self.tuned.base.source} (base)" if self.use_base else self.tuned.name

    @torch.no_grad()
    def ask(self, text: str, show: Show) -> Reply:
        """Answer the user's next turn; a KeyboardInterrupt ends the answer, and what was said of it stays.

        Raises ModelError when the conversation has grown longer than the model can read, and DataError when its
        template refuses it; the turn is then not part of the conversation.
        """
        messages = [*self.messages, Message(role="user", content=text)]
        prompt = self.template.render(messages, answer_next=True)
        ids = self.tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids.to(self.model.device)
        self._check_room(ids.shape[1])
        stream = _Stream(self.tokenizer, self.decoding.stop, self.stop_ids, show)
        began, interrupted = time.perf_counter(), False
        try:
            with self.model.disable_adapter() if self.use_base else nullcontext():
                self.model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    streamer=stream,
                    **generation_arguments(self.tokenizer, self.decoding, self.stop_ids, ids.shape[1]),
                )
        except KeyboardInterrupt:
            interrupted = True
        stream.flush()
        self.messages = [*messages, Message(role="assistant", content=stream.text)]
        return Reply(
            text=stream.text,
            by=self.speaker,
            finished=stream.finished and not interrupted,
            prompt_tokens=ids.shape[1],
            answer_tokens=len(stream.ids),
            seconds=time.perf_counter() - began,
        )

    def _check_room(self, num_tokens: int) -> None:
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and num_tokens + self.decoding.max_new_tokens > limit:
            raise ModelError(
                f"the conversation has {num_tokens} tokens and the answer may have {self.decoding.max_new_tokens}, "
                f"the model can read {limit}",
                fix="start anew with /reset, or lower --max-new-tokens",
            )


class _Stream:
    """What `generate` hands each token to. Shows text once no later token can change it."""

    def __init__(self, tokenizer: Any, stops: tuple[str, ...], stop_ids: frozenset[int], show: Show) -> None:
        self.tokenizer, self.stops, self.stop_ids, self.show = tokenizer, stops, stop_ids, show
        self.ids: list[int] = []
        self.text = ""
        self.finished = False
        self._shown = 0
        self._saw_prompt = False

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt, then one token after the other."""
        if not self._saw_prompt:
            self._saw_prompt = True
            return
        token = int(value.flatten()[0])
        if token in self.stop_ids:
            self.finished = True
            return
        self.ids.append(token)
        self.text = self.tokenizer.decode(self.ids, skip_special_tokens=True)
        cuts = [place for stop in self.stops if (place := self.text.find(stop)) >= 0]
        if cuts:
            self.text, self.finished = self.text[: min(cuts)], True
        # The start of a stop string, or half a character, may be at the end.
        held = max((len(stop) - 1 for stop in self.stops), default=0)
        self._show_to(len(self.text.rstrip("\ufffd")) - held)

    def end(self) -> None:
        """Called by `generate` after the last token."""

    def flush(self) -> None:
        """Show the rest."""
        self._show_to(len(self.text))

    def _show_to(self, place: int) -> None:
        if place > self._shown:
            self.show(self.text[self._shown : place])
            self._shown = place
