"""A profile made ready for comparing: topics, unlikeness of its own rows, and names of categories."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from tunesmith.data.profile import Features, Profile
from tunesmith.data.profile.describe import CATEGORIES, NUMBERS, TURNS
from tunesmith.data.profile.features import WIDTH
from tunesmith.monitor.drift.compare import Side
from tunesmith.monitor.drift.likeness import Likeness, to_unlikeness
from tunesmith.monitor.drift.observed import NOT_COUNTED, TOPIC, Observed
from tunesmith.monitor.drift.topics import Topics

BUCKETS = 256


class Reference:
    """What traffic is compared with. Takes a second or two to make of 5,000 rows."""

    def __init__(self, profile: Profile, embedding: bool = True) -> None:
        self.profile = profile
        self.names = {name: sorted(set(profile.categories[name].tolist())) for name in CATEGORIES}
        numbers = {name: profile.numbers[name].astype(np.float64) for name in (*NUMBERS, TURNS)}
        categories = {name: self._codes(name, profile.categories[name].tolist()) for name in CATEGORIES}
        self.likeness = self.topics = None
        self.neighbours: tuple[np.ndarray, np.ndarray] | None = None
        buckets = unlikeness = None
        if embedding:
            self.likeness = Likeness(profile.features)
            self.topics = Topics(profile.features, self.likeness.frequency)
            topics = self.topics.of_reference.copy()
            topics[: self.topics.num_fitted] = NOT_COUNTED
            categories[TOPIC] = topics
            self.names[TOPIC] = [str(number) for number in range(int(self.topics.of_reference.max(initial=0)) + 1)]
            self.neighbours = self.likeness.within()
            buckets, unlikeness = word_buckets(profile.features), to_unlikeness(self.neighbours[1])
        self.observed = Observed(numbers, categories, buckets, unlikeness)

    def __len__(self) -> int:
        return len(self.profile)

    @property
    def num_cells(self) -> dict[str, int]:
        """How many values each category has, with one for all that the reference does not."""
        return {name: len(values) + 1 for name, values in self.names.items()}

    @cached_property
    def side(self) -> Side:
        """The reference as one side of a comparison."""
        return Side.of(self.observed, self.num_cells)

    def observe(self, requests: Profile) -> Observed:
        """The same columns for requests."""
        numbers = {name: np.nan_to_num(requests.numbers[name].astype(np.float64)) for name in self.observed.numbers}
        categories = {name: self._codes(name, requests.categories[name].tolist()) for name in CATEGORIES}
        if self.likeness is None or self.topics is None:
            return Observed(numbers, categories, None, None)
        categories[TOPIC] = self.topics(requests.features)
        unlikeness = self.likeness.unlikeness(requests.features)
        return Observed(numbers, categories, word_buckets(requests.features), unlikeness)

    def _codes(self, name: str, values: Sequence[str]) -> np.ndarray:
        """Their place among the reference's; one more for all that it does not have."""
        places = {value: place for place, value in enumerate(self.names[name])}
        codes: np.ndarray = np.array([places.get(value, len(places)) for value in values], np.int64)
        return codes


def word_buckets(of: Features) -> np.ndarray:
    """(rows, BUCKETS) bool: words are hashed once more, into few enough buckets to count."""
    made: np.ndarray = np.zeros((len(of), BUCKETS), bool)
    is_word = of.columns < WIDTH // 2
    made[of.row_of[is_word], of.columns[is_word] % BUCKETS] = True
    return made
