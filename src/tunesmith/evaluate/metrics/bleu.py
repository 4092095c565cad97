"""Corpus BLEU, computed and signed by sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tunesmith.evaluate.answers import Answer, TestRow
from tunesmith.evaluate.metrics.metric import Floats, Measured, Metric
from tunesmith.recipe.evaluate import EvaluateSection

ORDERS = 4


class Bleu(Metric):
    """BLEU over all rows together (Papineni et al. 2002, P02-1040), 0 to 100.

    Rows have sacrebleu's sentence BLEU with effective order, for pairing wins and losses alone: the corpus value is not
    their mean. Answers of fewer than four words have no 4-grams, and a corpus of nothing else scores 0.
    """

    name = "bleu"
    title = "BLEU"
    unit = "points of 100"
    maximum = 100.0

    def measure(self, rows: Sequence[TestRow], answers: Sequence[Answer], section: EvaluateSection) -> Measured:
        from sacrebleu.metrics import BLEU

        texts, references = [answer.text for answer in answers], [row.reference for row in rows]
        tokenizer = tokenizer_for(references)
        whole = BLEU(tokenize=tokenizer, force=True)
        score = whole.corpus_score(texts, [references])
        single = BLEU(tokenize=tokenizer, force=True, effective_order=True)
        sentences = [single.sentence_score(text, [wanted]) for text, wanted in zip(texts, references, strict=True)]
        statistics = np.array([[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in sentences], dtype=np.float64)
        details: dict[str, Any] = {"brevity_penalty": score.bp, "precisions": list(score.precisions)}
        return self.measured(
            statistics,
            [sentence.score for sentence in sentences],
            value=score.score,
            signature=f"bleu|{whole.get_signature()}",
            details=details,
        )

    def corpus(self, sums: Floats) -> Floats:
        """BLEU of [..., 10] sums: answer length, reference length, matches and totals of 1- to 4-grams.

        What sacrebleu's `compute_bleu` does for one corpus with its default `exp` smoothing, for many at once.
        """
        answer_length, reference_length = sums[..., 0], sums[..., 1]
        right, total = sums[..., 2 : 2 + ORDERS], sums[..., 2 + ORDERS :]
        missed = (right == 0) & (total > 0)
        halvings = np.cumsum(missed, axis=-1)
        precision = np.where(right > 0, right, 0.5**halvings) / np.maximum(total, 1)
        brevity = np.exp(np.minimum(0, 1 - reference_length / np.maximum(answer_length, 1)))
        score = 100 * brevity * np.exp(np.log(precision).mean(axis=-1))
        return np.where((total > 0).all(axis=-1) & (right > 0).any(axis=-1), score, 0.0)


def tokenizer_for(references: Sequence[str]) -> str:
    """Choose sacrebleu's tokenizer by the script of most reference letters: without spaces `13a` sees one huge word.

    `zh` for Chinese, `char` for other scripts written without spaces (Japanese, Thai, Lao, Khmer, Burmese), else `13a`.
    The answers have no say, so all contestants get the same; the signature names it.
    """
    import regex

    text = "".join(references)
    num_letters = len(regex.findall(r"\p{L}", text))
    num_han = len(regex.findall(r"\p{Han}", text))
    num_kana = len(regex.findall(r"[\p{Hiragana}\p{Katakana}]", text))
    num_other = len(regex.findall(r"(?=\p{L})[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]", text))
    if num_han + num_kana + num_other <= num_letters / 2:
        return "13a"
    return "zh" if num_han > 10 * (num_kana + num_other) else "char"
