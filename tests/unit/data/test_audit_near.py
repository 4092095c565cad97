"""Near-duplicates against brute force over sets of words, and signatures against datasketch itself."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from tunesmith.data.audit import audit
from tunesmith.data.audit.minhash import NUM_PERMUTATIONS, RECALL, bands, rows_per_band, signatures
from tunesmith.data.audit.table import Similarity
from tunesmith.data.audit.words import boilerplate, own_text, shingles
from tunesmith.data.example import Example, Origin
from tunesmith.recipe.data import AuditSection


def grams(text: str) -> frozenset[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return frozenset(zip(words, words[1:], words[2:], strict=False)) or frozenset([tuple(words)])


def jaccard(left: str, right: str) -> float:
    a, b = grams(left), grams(right)
    return len(a & b) / len(a | b)


def corpus(count: int, seed: int) -> list[str]:
    """Texts, a third of which are edits of earlier ones: words replaced, dropped or added."""
    source = random.Random(seed)
    vocabulary = [f"word{i}" for i in range(300)]
    texts: list[str] = []
    for index in range(count):
        if index % 3 == 2:
            words = source.choice(texts).split()
            for _ in range(source.randint(1, 3)):
                at = source.randrange(len(words))
                words[at : at + source.randint(0, 1)] = source.choices(vocabulary, k=source.randint(0, 2))
        else:
            words = source.choices(vocabulary, k=source.randint(1, 60))
        texts.append(" ".join(words) or "word0")
    return texts


def rows_of(texts: list[str]) -> list[Example]:
    return [
        Example([{"role": "user", "content": text}, {"role": "assistant", "content": "."}], Origin("rows.jsonl", line))
        for line, text in enumerate(texts, start=1)
    ]


def test_signatures_are_datasketchs_own() -> None:
    from datasketch import MinHash

    sets = shingles(
        [
            "the quick brown fox jumps over the lazy dog",
            "one",
            *corpus(50, 1),
            "long " + " ".join(map(str, range(40_000))),
        ]
    )
    found = signatures(sets)
    for row in range(len(found)):
        reference = MinHash(NUM_PERMUTATIONS, seed=1, scheme="affine32", hashfunc=int)
        reference.update_batch(sets.values[sets.offsets[row] : sets.offsets[row + 1]])
        assert (found[row] == reference.hashvalues).all()


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0])
def test_bands_let_pairs_at_the_threshold_meet(threshold: float) -> None:
    size = rows_per_band(threshold)
    missed = (1 - threshold**size) ** (NUM_PERMUTATIONS // size)
    assert 1 - missed >= RECALL
    assert bands(np.zeros((3, NUM_PERMUTATIONS), dtype=np.uint32), size).shape == (3, NUM_PERMUTATIONS // size)


def test_similarity_is_exact() -> None:
    texts = corpus(120, 2)
    sets = shingles(texts)
    left, right = (index.ravel() for index in np.meshgrid(np.arange(120), np.arange(120)))
    similarity = Similarity(sets.values, sets.offsets, max_elements=500)
    expected = [jaccard(texts[a], texts[b]) for a, b in zip(left, right, strict=True)]
    assert similarity.of_pairs(left, right) == pytest.approx(expected)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.85])
def test_groups_agree_with_brute_force(threshold: float) -> None:
    texts = corpus(900, 3)
    rows = [
        Example([{"role": "user", "content": text}, {"role": "assistant", "content": "."}], Origin("x", i))
        for i, text in enumerate(texts)
    ]
    _, groups = audit({"train": rows}, AuditSection(near_duplicate_threshold=threshold))
    found = groups["train"]
    sets = [grams(text) for text in texts]
    parent = list(range(len(texts)))

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    num_pairs = num_together = 0
    for b in range(len(texts)):
        for a in range(b):
            if len(sets[a] & sets[b]) >= threshold * len(sets[a] | sets[b]) or texts[a] == texts[b]:
                num_pairs += 1
                num_together += found[a] == found[b]
                parent[max(root(a), root(b))] = min(root(a), root(b))
    expected = np.array([root(index) for index in range(len(texts))])
    assert num_pairs > 50
    assert num_together / num_pairs >= 0.98, "recall"
    joined = found != np.arange(len(found))
    assert (expected[joined] == expected[found[joined]]).all(), "precision: only rows that brute force joins are joined"


def test_many_rows_in_one_band_are_still_joined() -> None:
    base = [f"word{i}" for i in range(60)]
    texts = [" ".join([*base, f"tail{i}"]) for i in range(400)]
    rows = [
        Example([{"role": "user", "content": t}, {"role": "assistant", "content": "."}], Origin("x", i))
        for i, t in enumerate(texts)
    ]
    _, groups = audit({"train": rows}, AuditSection())
    assert (groups["train"] == 0).all()


def test_an_instruction_above_each_text_does_not_make_rows_alike() -> None:
    instruction = "Decide which of the seventy seven intents the message has and answer with its name only"
    texts = corpus(300, 5)[::3]
    rows = [
        Example(
            [{"role": "user", "content": f"{instruction}\n\n{t} {i}"}, {"role": "assistant", "content": "x"}],
            Origin("x", i),
        )
        for i, t in enumerate(texts)
    ]
    _, groups = audit({"train": rows}, AuditSection(near_duplicate_threshold=0.5))
    assert len(np.unique(groups["train"])) == len(rows)


def test_shared_lines_are_left_out_only_where_something_is_left() -> None:
    shared = boilerplate(["Do this:\nalpha"] * 30 + [f"Do this:\nrow {i}" for i in range(70)])
    assert shared == {"Do this:", "alpha"}
    assert own_text("Do this:\nbeta", shared) == "beta"
    assert own_text("Do this:\nalpha", shared) == "Do this:\nalpha"


def test_each_ideograph_is_a_word() -> None:
    sets = shingles(["我的银行卡还没有到", "我的银行卡还没有到了"])
    assert np.diff(sets.offsets).tolist() == [7, 8]
