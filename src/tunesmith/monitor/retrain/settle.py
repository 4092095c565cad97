"""One answer for each question: where sources contradict each other, and where somebody says too much.

Feedback is a way for strangers to write into the training data. What is done about it here is cheap: a rater's word
counts above a client's, clients of several tenants must agree, and no tenant may say more than its share.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tunesmith.monitor.retrain.said import Candidate

Counts = dict[str, int]


@dataclass(frozen=True)
class Settled:
    """Candidates, one for each question, oldest first; those that tenants dispute; what was left out, by why."""

    kept: tuple[Candidate, ...]
    disputed: tuple[Candidate, ...]
    left_out: Counts


def settle(candidates: Iterable[Candidate], max_share_tenant: float) -> Settled:
    """Choose.

    The newest word of a rater wins; else the newest correction, unless several tenants have corrected the same question
    differently and no answer has more than half of them: then it is disputed, and people are asked. An answer that was
    only rated counts where nobody corrected it. Of feedback no tenant may have said more than `max_share_tenant`, where
    there are several: its oldest words go.
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
    within = _capped(kept, max_share_tenant)
    left_out["one tenant said too much"] += len(kept) - len(within)
    return Settled(tuple(within), tuple(disputed), dict(+left_out))


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


def _capped(kept: list[Candidate], share: float) -> list[Candidate]:
    clients = Counter(one.who for one in kept if one.kind != "review")
    if len(clients) < 2 or share >= 1:
        return kept
    every = sum(clients.values())
    may = {who: max(1, int(share / (1 - share) * (every - number))) for who, number in clients.items()}
    taken: Counter[str] = Counter()
    found = []
    for one in reversed(kept):
        if one.kind != "review":
            taken[one.who] += 1
            if taken[one.who] > may[one.who]:
                continue
        found.append(one)
    return found[::-1]
