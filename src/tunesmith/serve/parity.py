"""Whether the engine says what the trainer's model says: the same tokens, the same probabilities, and not the base's.

A process of its own, `python -m tunesmith.serve.parity ADDRESS SPEC VERSION...`: it holds a second copy of the model.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.serve.engine_app import ADAPTER_HEADER, TOKEN_HEADER
from tunesmith.serve.spec import EngineSpec, engine_token

if TYPE_CHECKING:
    from tunesmith.serve.trained import Trained

QUESTIONS = (
    "What is the capital of France?",
    "Write a short story about a fox.",
    "Summarise: the quick brown fox jumps over the lazy dog.",
)
TOKENS = 16
TOLERANCE = {"float32": 0.01, "bfloat16": 0.15, "float16": 0.05}
"""Largest mean difference of log-probabilities that rounding explains, by the type that the engine computes in."""

NOTICEABLE = 2.0
"""Where tuned and base differ by so many tolerances, an engine that is nearer to the base has lost the adapter."""


@dataclass(frozen=True)
class Proof:
    """One prompt and answer, tokens, and what the trainer's model and the base gave each token of the answer."""

    prompt: list[int]
    answer: list[int]
    tuned: list[float]
    base: list[float]


@dataclass(frozen=True)
class Parity:
    """A check: whether it passed, the sentence that says so, and mean differences of log-probabilities.

    `off_tuned` is the engine's from the trainer's model, `off_base` the engine's from the base, `tuned_from_base` that
    of the two; `same_prompts` and `same_choices` are shares of prompts and tokens. `proofs` are what was compared, to
    be asked again of other weights.
    """

    passed: bool
    reason: str
    off_tuned: float
    off_base: float
    tuned_from_base: float
    same_prompts: float
    same_choices: float
    tokens: int
    proofs: tuple[Proof, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Said:
    """What an engine answered: tokens of the prompt as it saw it, tokens of the answer, and their log-probabilities."""

    prompt: list[int]
    answer: list[int]
    logprobs: list[float]


def judge(
    expected: list[list[int]], said: list[Said], tuned: list[list[float]], base: list[list[float]],
    choices: list[list[int]], dtype: str,
) -> Parity:  # fmt: skip
    """Compare. `expected` are the trainer's tokens of each prompt, `tuned` and `base` what its model and the base give
    the engine's own answer, `choices` what its model would have said at each place."""
    same = sum(one.prompt == own for one, own in zip(said, expected, strict=True)) / len(said)
    pairs = [
        (theirs, own, bare)
        for one, mine, plain in zip(said, tuned, base, strict=True)
        for theirs, own, bare in zip(one.logprobs, mine, plain, strict=True)
    ]
    number = max(1, len(pairs))
    off_tuned = sum(abs(theirs - own) for theirs, own, _ in pairs) / number
    off_base = sum(abs(theirs - bare) for theirs, _, bare in pairs) / number
    apart = sum(abs(own - bare) for _, own, bare in pairs) / number
    agreed = sum(a == b for one, own in zip(said, choices, strict=True) for a, b in zip(one.answer, own, strict=True))
    limit = TOLERANCE[dtype]
    passed, reason = True, f"log-probabilities within {off_tuned:.3g} of the trainer's model"
    if same < 1:
        passed, reason = False, "template: the engine reads other tokens than the trainer's template writes"
    elif not pairs:
        passed, reason = False, "the engine answered nothing"
    elif off_tuned > limit:
        passed = False
        if apart > NOTICEABLE * limit and off_base < max(limit, off_tuned / 4):
            reason = f"adapter: the engine says what the base says ({off_base:.3g} off), not what the version says"
        elif off_tuned < 5 * limit:
            reason = f"dtype: log-probabilities are {off_tuned:.3g} off, and {limit:g} is explained by {dtype}"
        else:
            reason = f"log-probabilities are {off_tuned:.3g} off, and {limit:g} is explained by {dtype}"
    proofs = tuple(Proof(one.prompt, one.answer, *both) for one, *both in zip(said, tuned, base, strict=True))
    return Parity(passed, reason, off_tuned, off_base, apart, same, agreed / number, len(pairs), proofs)


def check(trained: Trained, spec: EngineSpec, address: str, start: Path) -> Parity:
    """Ask the engine and the trainer's model the same. Raises ModelError, or OSError when no engine answers."""
    import torch

    from tunesmith.data.pin_date import pin_date
    from tunesmith.data.template import ChatTemplate
    from tunesmith.models.load import load_tokenizer, own_dtype

    tokenizer = load_tokenizer(trained.folder, trained.section, start)
    template = ChatTemplate(tokenizer, trained.section.source)
    dtype = own_dtype(trained.folder) if spec.settings.dtype == "auto" else spec.settings.dtype
    # In the engine's own type: what is left is rounding. Nobody trains in float16, and float32 is nearest to it.
    near = "float32" if dtype == "float16" else dtype
    model = trained.load(trained.section.model_copy(update={"dtype": near}))
    own = pin_date(trained.template) if trained.template is not None else spec.template
    expected, said, ours, bare, choices = [], [], [], [], []
    for question in QUESTIONS:
        messages: list[Any] = [{"role": "user", "content": question}]
        if trained.system is not None:
            messages.insert(0, {"role": "system", "content": trained.system})
        prompt = tokenizer(template.render(messages, answer_next=True), add_special_tokens=False).input_ids
        one = ask(address, spec, trained.name, messages, own)
        both = one.prompt + one.answer
        with torch.no_grad():
            ids = torch.tensor([both], device=model.device)
            after = slice(len(one.prompt) - 1, -1)
            logits = model(input_ids=ids, use_cache=False).logits[0, after].float().log_softmax(-1)
            plain = logits
            if trained.has_base:
                with model.disable_adapter():
                    plain = model(input_ids=ids, use_cache=False).logits[0, after].float().log_softmax(-1)
        picked = torch.tensor(one.answer, device=model.device)[:, None]
        expected.append(prompt)
        said.append(one)
        ours.append(logits.gather(1, picked)[:, 0].tolist())
        bare.append(plain.gather(1, picked)[:, 0].tolist())
        choices.append(logits.argmax(-1).tolist())
    return judge(expected, said, ours, bare, choices, dtype)


def ask(address: str, spec: EngineSpec, version: str, messages: list[Any], template: str | None) -> Said:
    """One greedy answer of the engine, asked past the gateway: the version may not have traffic yet."""
    body = {
        "model": version, "messages": messages, "temperature": 0, "max_completion_tokens": TOKENS, "logprobs": True,
        "return_token_ids": True, **({"chat_template": template} if template is not None else {}),
    }  # fmt: skip
    request = urllib.request.Request(
        f"{address}{spec.route}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={
            "content-type": "application/json",
            TOKEN_HEADER.decode(): engine_token(),
            ADAPTER_HEADER.decode(): version,
        },
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=300) as answer:
        found = json.load(answer)
    choice = found["choices"][0]
    logprobs = [one["logprob"] for one in (choice.get("logprobs") or {}).get("content") or []]
    return Said(found["prompt_token_ids"], choice["token_ids"][: len(logprobs)], logprobs)


def main() -> None:
    """Check versions one after the other, keep and print what came of each."""
    from tunesmith.serve.checks import keep
    from tunesmith.serve.trained import find_trained
    from tunesmith.store.database import Database
    from tunesmith.store.home import find_home

    address, written, *versions = sys.argv[1:]
    spec, home = EngineSpec.model_validate_json(written), find_home()
    for version in versions:
        found = check(find_trained(version, spec, home), spec, address, Path.cwd())
        keep(Database.open(home.database_url), version, spec, found)
        print(json.dumps({"version": version, "passed": found.passed, "reason": found.reason}), flush=True)


if __name__ == "__main__":
    main()
