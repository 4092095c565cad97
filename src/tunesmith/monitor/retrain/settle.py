"""One answer for each question: where sources contradict each other, and where somebody says too much.

Feedback is a way for strangers to write into the training data. What is done about it here is cheap: a rater's word
counts above a client's, clients of several tenants must agree, and no tenant may say more than its share.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tunesmith.monitor.retrain.said import Candidate

Counts = dict[str, int]


@dataclass(frozen=True)
class Settled:
    """Candidates, one for each question, oldest first; those that tenants dispute; what was left out, by why; and the
    share of feedback that one tenant may have said, which holds of every part of them too."""

    kept: tuple[Candidate, ...]
    disputed: tuple[Candidate, ...]
    left_out: Counts
    max_share_tenant: float = 1.0


def settle(candidates: Iterable[Candidate], max_share_tenant: float) -> Settled:
    """Choose.

    The newest word of a rater wins; else the newest correction, unless several tenants have corrected the same question
    differently and no answer has more than half of them: then it is disputed, and people are asked. An answer that was
    only rated counts where nobody corrected it. Of feedback no tenant may have said more than `max_share_tenant`, where
    there are several: see `weightiest`.
    """
    by_key: dict[str, list[Candidate]] = defaultdict(list)
    for one in sorted(candidates, key=lambda one: one.at):
        by_key[one.key].append(one)
    kept: list[Candidate] = []
    disputed: list[Candidate] = []
    left_out: Counter[str] = Counter()
    for said in by_key.values():
        chosen = _choose(said)
        if chosen is None:
            disputed.append(said[-1])
            left_out["tenants contradict each other"] += len(said)
            continue
        kept.append(chosen)
        for one in said:
            if one is not chosen:
                same = plain(one.answer) == plain(chosen.answer)
                left_out["said more than once" if same else "contradicted by a newer or weightier word"] += 1
    kept.sort(key=lambda one: (one.at, one.of))
    within = weightiest(kept, max_share_tenant)
    left_out["one tenant said too much"] += len(kept) - len(within)
    return Settled(tuple(within), tuple(disputed), dict(+left_out), max_share_tenant)


def plain(answer: str) -> str:
    """An answer as it is compared: lower case, runs of white space as one space."""
    return " ".join(answer.split()).casefold()


def _choose(said: list[Candidate]) -> Candidate | None:
    """The candidate that counts of those of one question, oldest first; None where tenants dispute it."""
    for kind in ("review", "correction", "rated"):
        words = [one for one in said if one.kind == kind]
        if not words:
            continue
        last = {one.who: one for one in words}  # each has the last word over what it said before
        answers = Counter(plain(one.answer) for one in last.values())
        if kind != "correction" or len(answers) == 1:
            return words[-1]
        answer, number = answers.most_common(1)[0]
        if 2 * number <= len(last):
            return None
        return next(one for one in reversed(words) if plain(one.answer) == answer)
    return None


def weightiest(rows: Sequence[Candidate], share: float, most: int | None = None) -> list[Candidate]:
    """At most so many of rows that are in order of time: corrections before ratings and newer before older, in their
    own order.

    Of those that are chosen and come from feedback no tenant has said more than `share`, where several have said
    something; so few tenants that they cannot keep to it say equally much. What raters said counts for nobody.
    """
    order = sorted(range(len(rows)), key=lambda index: (rows[index].kind == "rated", -index))
    clients = Counter(one.who for one in rows if one.kind != "review")
    share = max(share, 1 / len(clients)) if len(clients) > 1 else 1.0
    number = clients.total()
    while True:
        chosen, said = _within(rows, order, _quota(share, number), most)
        number = said.total()
        if max(said.values(), default=0) <= _quota(share, number):
            return [rows[index] for index in sorted(chosen)]


def _within(
    rows: Sequence[Candidate], order: Sequence[int], quota: int, most: int | None
) -> tuple[list[int], Counter[str]]:
    """The first rows in this order with at most `quota` of each tenant; and how many each has said."""
    said: Counter[str] = Counter()
    chosen: list[int] = []
    for index in order:
        if len(chosen) == most:
            break
        one = rows[index]
        if one.kind != "review":
            if said[one.who] == quota:
                continue
            said[one.who] += 1
        chosen.append(index)
    return chosen, said


def _quota(share: float, number: int) -> int:
    return max(1, int(share * number + 1e-9))
