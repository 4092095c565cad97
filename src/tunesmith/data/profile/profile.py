"""The profile of training data: what later traffic is compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tunesmith.data.audit.words import boilerplate, own_text
from tunesmith.data.example import Example
from tunesmith.data.profile.describe import (
    ANSWER,
    CATEGORIES,
    LABEL,
    NUMBERS,
    TURNS,
    Description,
    asked,
    describe,
    describe_text,
)
from tunesmith.data.profile.features import Features, features

MAX_ROWS = 5_000
"""Rows that a profile keeps."""

SHOWN = 20
"""Categories that the summary lists."""


@dataclass(frozen=True)
class Profile:
    """Descriptors of a sample of the training rows.

    `numbers` name -> (rows,) float32 and `categories` name -> (rows,) text; those of answers have `answer.` in front.
    `features` are of what is asked, without the lines that many rows share (`shared`). `num_examples` is how many rows
    the sample was drawn from.
    """

    num_examples: int
    numbers: dict[str, np.ndarray]
    categories: dict[str, np.ndarray]
    features: Features
    shared: frozenset[str]

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of what traffic is compared with."""
        made = hashlib.sha256()
        for values in (*self.numbers.values(), *vars(self.features).values()):
            made.update(np.ascontiguousarray(values).tobytes())
        for values in self.categories.values():
            made.update("\x1f".join(values.tolist()).encode("utf-8", "surrogatepass"))
        return made.hexdigest()[:16]

    def of_prompts(self, prompts: Sequence[Sequence[Mapping[str, Any]]]) -> Profile:
        """The same of other prompts, without answers: their descriptors and features as this profile's were made."""
        described = [describe(prompt) for prompt in prompts]
        return Profile(
            len(prompts),
            number_columns(described, (*NUMBERS, TURNS)),
            category_columns(described, CATEGORIES),
            features([own_text(asked(prompt), self.shared) for prompt in prompts]),
            self.shared,
        )

    def summary(self) -> dict[str, Any]:
        """Deciles of each number and the shares of each category's commonest values."""
        deciles = {
            name: [round(float(value), 4) for value in np.quantile(values, np.linspace(0, 1, 11))]
            for name, values in self.numbers.items()
            if len(values)
        }
        shares: dict[str, dict[str, float]] = {}
        for name, values in self.categories.items():
            kinds, counts = np.unique(values, return_counts=True)
            order = np.argsort(-counts, kind="stable")[:SHOWN]
            shares[name] = {str(kinds[at]): round(float(counts[at] / len(values)), 4) for at in order}
        return {"deciles": deciles, "shares": shares}


def build_profile(examples: Iterable[Example], max_rows: int = MAX_ROWS, num_examples: int | None = None) -> Profile:
    """Describe the examples, or a random sample of `max_rows` of them; the same examples give the same profile.

    `num_examples` says how many there were where `examples` is a sample already.
    """
    kept, seen = _sample(examples, max_rows)
    prompts = [example.prompt for example in kept]
    texts = [asked(prompt) for prompt in prompts]
    described = [describe(prompt) for prompt in prompts]
    answers = _described_once([example.reference or "" for example in kept])
    numbers = number_columns(described, (*NUMBERS, TURNS))
    numbers |= {f"{ANSWER}{name}": values for name, values in number_columns(answers, NUMBERS).items()}
    categories = category_columns(described, CATEGORIES)
    categories |= {f"{ANSWER}{name}": values for name, values in category_columns(answers, CATEGORIES).items()}
    if any(example.label is not None for example in kept):
        categories[f"{ANSWER}{LABEL}"] = np.array([example.label or "" for example in kept], str)
    shared = boilerplate(texts)
    embedded = features([own_text(text, shared) for text in texts])
    return Profile(num_examples if num_examples is not None else seen, numbers, categories, embedded, shared)


def number_columns(described: Sequence[Description], names: Iterable[str]) -> dict[str, np.ndarray]:
    """Name -> (rows,) float32."""
    return {name: np.array([row[name] for row in described], np.float32) for name in names}


def category_columns(described: Sequence[Description], names: Iterable[str]) -> dict[str, np.ndarray]:
    """Name -> (rows,) text."""
    return {name: np.array([row[name] for row in described], str) for name in names}


def sampled_rows(num_rows: int, max_rows: int = MAX_ROWS) -> np.ndarray:
    """(at most max_rows,) the rows that a profile of so many keeps, ascending; the same each time."""
    if num_rows <= max_rows:
        return np.arange(num_rows)
    return np.sort(np.random.default_rng(num_rows).choice(num_rows, max_rows, replace=False))


def _sample(examples: Iterable[Example], size: int) -> tuple[list[Example], int]:
    """A random sample in one pass (Vitter's algorithm R), in random order, and how many there were."""
    draw = np.random.default_rng(0)
    kept: list[Example] = []
    seen = 0
    for example in examples:
        seen += 1
        if len(kept) < size:
            kept.append(example)
        elif (place := int(draw.integers(seen))) < size:
            kept[place] = example
    return [kept[place] for place in draw.permutation(len(kept))], seen


def _described_once(answers: Sequence[str]) -> list[Description]:
    """Answers that come again and again, as labels do, are described once."""
    known = {answer: describe_text(answer) for answer in set(answers)}
    return [known[answer] for answer in answers]
