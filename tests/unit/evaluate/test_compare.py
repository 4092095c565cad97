"""Intervals and p-values against scipy called directly, brute force, and their own promise: coverage."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import scipy.stats

from tests.unit.evaluate.made_up import answers_of, measure, rows_of
from tunesmith.errors import EvaluationError
from tunesmith.evaluate.answers import Answer
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.comparison import Comparison
from tunesmith.evaluate.metrics import METRICS, Measured
from tunesmith.evaluate.metrics.metric import Floats, means
from tunesmith.recipe.evaluate import EvaluateSection

MEAN = METRICS["rougeL"]


def scored(scores: Floats) -> Measured:
    """Rows with these scores, as a metric that averages measures them."""
    return MEAN.measured(means(list(scores)), list(scores), signature="made up")


def compare_scores(ours: Floats, theirs: Floats, **settings: float) -> Comparison:
    return compare(MEAN, ("ours", scored(ours)), ("theirs", scored(theirs)), **settings)  # type: ignore[arg-type]


@pytest.fixture
def scores() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(3)
    theirs = rng.beta(2, 4, 80)
    return np.clip(theirs + rng.gamma(1, 0.08, 80) - 0.02, 0, 1), theirs


def test_the_interval_is_scipys_bca_of_the_paired_differences(scores: tuple[Floats, Floats]) -> None:
    ours, theirs = scores
    found = compare_scores(ours, theirs, resamples=2000, seed=7)
    expected = scipy.stats.bootstrap(
        (ours - theirs,), np.mean, n_resamples=2000, method="BCa", rng=np.random.default_rng(7)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.difference == pytest.approx((ours - theirs).mean())
    assert found.method == "bca"
    assert found.note == ""


def test_the_p_value_is_scipys_permutation_test(scores: tuple[Floats, Floats]) -> None:
    rng = np.random.default_rng(0)
    theirs = scores[1]
    ours = theirs + rng.normal(0.002, 0.06, 80)
    expected = scipy.stats.permutation_test(
        (ours, theirs), lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis), permutation_type="samples",
        vectorized=True, n_resamples=3000, rng=np.random.default_rng(5),
    )  # fmt: skip
    found = compare_scores(ours, theirs, resamples=3000, seed=5)
    assert 0.01 < expected.pvalue < 0.6
    assert found.p_value == pytest.approx(expected.pvalue)


def test_the_p_value_of_few_rows_is_exact() -> None:
    rng = np.random.default_rng(1)
    changes = rng.normal(0.05, 0.1, 10)
    sums = np.array([np.dot(signs, changes) for signs in itertools.product((1, -1), repeat=10)])
    tails = (sums >= changes.sum() - 1e-12).mean(), (sums <= changes.sum() + 1e-12).mean()
    found = compare_scores(0.5 + changes, np.full(10, 0.5), resamples=10_000)
    assert found.p_value == pytest.approx(min(1, 2 * min(tails)))


def test_bleu_is_resampled_by_rows_and_not_averaged() -> None:
    import sacrebleu

    rng = np.random.default_rng(2)
    words = np.array([f"word{n}" for n in range(30)])
    references = [" ".join(rng.choice(words, rng.integers(4, 12))) for _ in range(40)]

    def noisy(text: str, share: float) -> str:
        return " ".join(rng.choice(words) if rng.random() < share else word for word in text.split())

    ours, theirs = [noisy(r, 0.2) for r in references], [noisy(r, 0.35) for r in references]
    found = compare(
        METRICS["bleu"], ("a", measure("bleu", ours, references)), ("b", measure("bleu", theirs, references)),
        resamples=2000, seed=0,
    )  # fmt: skip
    brute = []
    for _ in range(200):
        rows = rng.integers(0, 40, 40)
        wanted = [[references[row] for row in rows]]
        ours_drawn = sacrebleu.corpus_bleu([ours[row] for row in rows], wanted).score
        brute.append(ours_drawn - sacrebleu.corpus_bleu([theirs[row] for row in rows], wanted).score)
    spread = np.std(brute)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(brute, [2.5, 97.5])), abs=0.5 * spread)


def test_perplexity_is_resampled_from_its_sums() -> None:
    rng = np.random.default_rng(4)
    tokens = rng.integers(1, 60, 50)
    nats = [tokens * rng.gamma(8, share, 50) for share in (0.25, 0.3)]
    rows = rows_of(["x"] * 50)
    sides = [tuple(Answer("", float(n), int(t), 9, True) for n, t in zip(side, tokens, strict=True)) for side in nats]
    measured = [METRICS["perplexity"].measure(rows, side, EvaluateSection()) for side in sides]
    found = compare(METRICS["perplexity"], ("a", measured[0]), ("b", measured[1]), resamples=2000, seed=9)

    def difference(a: Floats, b: Floats, t: Floats, axis: int) -> Floats:
        total = t.sum(axis=axis)
        return np.exp(a.sum(axis=axis) / total) - np.exp(b.sum(axis=axis) / total)

    expected = scipy.stats.bootstrap(
        (nats[0], nats[1], tokens.astype(float)), difference, paired=True, vectorized=True, n_resamples=2000,
        method="BCa", rng=np.random.default_rng(9),
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.improvement_low == pytest.approx(-expected.high)
    assert found.improvement > 0 > found.difference
    assert found.wins > found.losses


def test_an_interval_of_95_percent_holds_the_truth_95_times_in_100() -> None:
    rng = np.random.default_rng(11)
    held = significant = 0
    for number in range(300):
        theirs = rng.beta(2, 3, 60)
        ours = theirs + rng.gamma(2, 0.05, 60) - 0.1 + 0.03  # skewed differences with mean 0.03
        found = compare_scores(ours, theirs, resamples=300, seed=number)
        assert found.low is not None and found.high is not None
        held += found.low <= 0.03 <= found.high
        flat = compare_scores(theirs + rng.normal(0, 0.05, 60), theirs, resamples=300, seed=number)
        significant += (flat.p_value or 0) < 0.05
    # 99.8 % of honest 95 % intervals land in this band; one that covers 90 % lands below it 4 times in 5.
    assert scipy.stats.binom.ppf(0.001, 300, 0.95) <= held <= scipy.stats.binom.ppf(0.999, 300, 0.95)
    assert scipy.stats.binom.ppf(0.001, 300, 0.05) <= significant <= scipy.stats.binom.ppf(0.999, 300, 0.05)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(scores: tuple[Floats, Floats]) -> None:
    first, again, other = (compare_scores(*scores, resamples=500, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.low != other.low


def test_ten_thousand_resamples_of_200_rows_take_less_than_two_seconds() -> None:
    rng = np.random.default_rng(0)
    references = [f"label {n % 77} of many" for n in range(200)]
    texts = [f"label {rng.integers(77)} of many" for _ in range(200)]
    for name in ("rougeL", "chrf", "label_f1"):
        ours, theirs = measure(name, texts, references), measure(name, texts[::-1], references)
        compare(METRICS[name], ("a", ours), ("b", theirs), resamples=100)  # scipy's import is not what is timed
        seconds = []
        for _ in range(2):
            begin = time.process_time()
            compare(METRICS[name], ("a", ours), ("b", theirs), resamples=10_000)
            seconds.append(time.process_time() - begin)
        assert min(seconds) < 2, name


def test_equal_scores_have_no_width_and_no_significance() -> None:
    found = compare_scores(np.linspace(0, 1, 20), np.linspace(0, 1, 20))
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert (found.wins, found.ties, found.losses) == (0, 20, 0)
    assert found.method == "constant"
    assert found.note == "the difference is the same on every row, so the interval has no width"


def test_a_constant_difference_is_said_to_be_one() -> None:
    found = compare_scores(np.ones(20), np.zeros(20), resamples=1000)
    assert (found.difference, found.low, found.high, found.method) == (1, 1, 1, "constant")
    assert found.p_value is not None and found.p_value < 0.01


def test_few_rows_get_a_sentence_and_no_interval() -> None:
    found = compare_scores(np.linspace(0, 1, 9), np.linspace(1, 0, 9))
    assert (found.low, found.high, found.p_value, found.method) == (None, None, None, "none")
    assert found.note == "no interval from 9 rows: at least 10 are needed"
    assert (found.wins, found.ties, found.losses) == (4, 1, 4)


def test_twenty_rows_get_a_word_of_caution() -> None:
    rng = np.random.default_rng(0)
    assert compare_scores(rng.random(20), rng.random(20), resamples=200).note.startswith("only 20 rows: ")


def test_one_differing_row_of_many_still_has_an_interval() -> None:
    ours = np.zeros(200)
    ours[3] = 1
    found = compare_scores(ours, np.zeros(200), resamples=1000)
    assert found.low is not None and found.high is not None
    assert 0 <= found.low <= found.difference < found.high
    assert np.isfinite([found.low, found.high]).all()


def test_label_f1_uses_percentiles_because_labels_come_and_go() -> None:
    references = [f"label {n % 5}" for n in range(40)]
    ours = measure("label_f1", references[:30] + ["label 0"] * 10, references)
    theirs = measure("label_f1", ["label 1"] * 40, references)
    found = compare(METRICS["label_f1"], ("a", ours), ("b", theirs), resamples=300)
    assert found.method == "percentile"
    assert found.low is not None and found.low > 0


def test_contestants_of_other_rows_are_refused() -> None:
    with pytest.raises(
        EvaluationError, match="rougeL of 'a' and 'b' was not measured on the same rows in the same way"
    ):
        compare(MEAN, ("a", measure("rougeL", ["x"], ["x"])), ("b", measure("rougeL", ["x"] * 2, ["x"] * 2)))


def test_losses_of_a_metric_where_lower_is_better_are_rows_that_rose() -> None:
    rows, section = rows_of(["x"] * 12), EvaluateSection()
    ours = METRICS["perplexity"].measure(rows, answers_of(["x"] * 12, nll=8), section)
    theirs = METRICS["perplexity"].measure(rows, answers_of(["x"] * 12, nll=4), section)
    found = compare(METRICS["perplexity"], ("a", ours), ("b", theirs), resamples=200)
    assert (found.wins, found.losses) == (0, 12)
    assert found.difference > 0 > found.improvement
