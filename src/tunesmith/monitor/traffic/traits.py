"""What an answer looks like without knowing the question: a refusal, or a text that goes round in circles."""

from __future__ import annotations

import re

BEGINNING = 200
"""A refusal says so at once: characters that are looked at."""

REFUSALS = re.compile(
    r"\b(?:"
    # English
    r"i (?:cannot|can't|can not|could not|couldn't|won't|will not|am unable to|am not able to|must decline)"
    r"(?!(?: \w+){0,2} help but\b(?! i\b))"  # that is no refusal: "I can't help but smile"
    r"(?: \w+){0,3} (?:help|assist|answer|provide|comply|fulfil+|do that|do this|discuss|support"
    r"|create|write|generate|share|give|offer"
    r"|continue|engage|process|complete|respond)\b"
    r"|i'm (?:unable|not able) to|i must decline|i have to decline"
    r"|(?:i'm|i am) (?:very |so |really )?sorry,? but (?:i|as an)\b"
    r"|i apologi[sz]e,? but (?:i|as an)\b"
    r"|as an ai(?: language)?(?: model)?(?: assistant)?,? i (?:can|do|am|must|don't)"
    r"|it(?: is|'s) (?:not appropriate|against my)|against my (?:guidelines|programming|policy)"
    # German, French, Spanish, Italian, Portuguese
    r"|(?:es tut mir leid|tut mir leid|entschuldigung),? (?:aber )?(?:ich|das|dabei)\b(?:.{0,40}\b(?:nicht|keine?n?)\b)"
    r"|(?:ich kann|kann ich|darf ich|ich darf)\b.{0,40}\bnicht\b.{0,30}"
    r"\b(?:helfen|beantworten|unterstützen|weiterhelfen)"
    r"|(?:désolé|je suis désolé|désolée)e?,? (?:mais )?je ne (?:peux|suis)"
    r"|je ne (?:peux|puis) pas (?:vous |t')?(?:aider|répondre|fournir)"
    r"|lo siento,? (?:pero )?no (?:puedo|me es posible)|no puedo (?:ayudar|responder|proporcionar)"
    r"|mi dispiace,? (?:ma )?non posso|non posso (?:aiutar|rispondere|fornire)"
    r"|(?:sinto muito|desculpe),? (?:mas )?(?:não|eu não) posso|não posso (?:ajudar|responder|fornecer)"
    r")",
    re.IGNORECASE,
)
"""Sentences with which assistants decline. Phrases, not understanding: what declines in other words is not seen."""

GRAM, LEAST_WORDS, MOST_REPEATED = 4, 40, 0.5
"""Of a text of 40 words or more at least half of the runs of 4 words have been there before: it goes in circles."""

LOOP, LONGEST_PERIOD = 240, 60
"""Or its last 240 characters are one piece of at most 60 again and again."""


def is_refusal(text: str) -> bool:
    """Whether an answer declines, as far as its first words say."""
    return REFUSALS.search(" ".join(text[:BEGINNING].replace("’", "'").split())) is not None


def is_repeated(text: str) -> bool:
    """Whether an answer goes round in circles: words again and again, or a loop that it did not leave."""
    return repeated_share(text) >= MOST_REPEATED or _ends_in_loop(text)


def repeated_share(text: str) -> float:
    """Share of the runs of four words that have been there before; 0 for a short text."""
    words = text.lower().split()
    if len(words) < LEAST_WORDS:
        return 0.0
    grams = list(zip(*(words[start:] for start in range(GRAM)), strict=False))
    return 1 - len(set(grams)) / len(grams)


def _ends_in_loop(text: str) -> bool:
    end = text.rstrip()[-LOOP:]
    if len(end) < LOOP:
        return False
    return any(end[period:] == end[:-period] for period in range(1, LONGEST_PERIOD + 1))
