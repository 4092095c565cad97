"""Made-up requests of several kinds, and profiles of them."""

from __future__ import annotations

import random

from tunesmith.data.example import Example, Origin
from tunesmith.data.profile import Profile, build_profile

THINGS = ("card", "account", "transfer", "payment", "balance", "refund", "cheque", "deposit", "loan", "fee", "limit")
DOES = ("open", "close", "check", "change", "cancel", "find", "raise", "stop", "move", "explain", "report", "renew")
ASKS = ("How do I {} my {}?", "I want to {} the {}", "why was my {1} {0}", "Please {} this {} now", "Can you {} a {}?")
OTHER_THINGS = ("piano", "violin", "sonata", "orchestra", "rehearsal", "melody", "opera", "concert", "chord", "tempo")
OTHER_DOES = ("tune", "play", "compose", "rehearse", "sing", "conduct", "practise", "record")


def sentences(number: int, seed: int, new: float = 0.0) -> list[str]:
    """Requests to a bank, of which a share is about music."""
    draw = random.Random(seed)
    texts = []
    for _ in range(number):
        other = draw.random() < new
        does, things = (OTHER_DOES, OTHER_THINGS) if other else (DOES, THINGS)
        text = draw.choice(ASKS).format(draw.choice(does), draw.choice(things))
        extra = [draw.choice(things) for _ in range(draw.randrange(5))]
        texts.append(" ".join([text, *extra]))
    return texts


def prompts(texts: list[str]) -> list[list[dict[str, str]]]:
    """Each as a conversation of one turn."""
    return [[{"role": "user", "content": text}] for text in texts]


def profile_of_texts(texts: list[str]) -> Profile:
    """As if these were the training data."""
    return build_profile(
        Example([{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}], Origin("rows", line))
        for line, text in enumerate(texts)
    )
