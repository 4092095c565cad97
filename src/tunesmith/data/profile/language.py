"""Which language a text is in, by its commonest words: dependable from a sentence on, for the languages listed here."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.data.audit.scripts import LATIN, count_scripts

UNKNOWN = "unknown"
_NUM_WORDS = 400
"""Words of a text that are looked at."""

_WORDS = {
    "English": "a do if the and of to is in that it you for my i what how can not with this have was are on at be from",
    "German": "der die das und ist nicht ich ein eine zu den mit von wie es auf für sich im dem kann mein was wird",
    "French": "le la les de des et est une un je pas que pour dans qui sur ne vous mon avec ce il du au comment",
    "Spanish": "el la los las de y es una un que no en por para con mi se lo como del al está qué más cómo",
    "Italian": "il la gli di e è un una che non per con mi si come del della sono ho le da nel mio questo più",
    "Portuguese": "o os as de e é um uma que não para com meu minha se como do da em no na por eu são mais você",
    "Dutch": "de het een en is van ik niet dat op te in met voor mijn zijn hoe wat je kan er maar aan naar ook",
    "Swedish": "och att det är en ett jag inte som på för med av den har min till kan hur om vad men så",
    "Danish": "og at det er en et jeg ikke som på for med af den har min til kan hvordan om hvad men så",
    "Finnish": "ja on ei se että en olen mutta kun miten minun mitä tämä ovat voi joka hän niin kuin oli",
    "Polish": "i w nie to się na z jest do że jak co moje mam ale za czy po tak mi od dla jego przez",
    "Czech": "a je v se na to že není s jak do co můj mám ale za by jsem po tak pro jsou když mi",
    "Turkish": "ve bir bu için ne da de mi nasıl çok var değil ben benim ile olan gibi daha kadar ama",
    "Indonesian": "yang dan di ini itu tidak dengan untuk saya dari ada apa bagaimana ke pada bisa akan adalah",
    "Vietnamese": "và của là không có tôi trong cho được một các những này như với để thế nào làm người",
    "Russian": "и в не на я что как с это мой по у из за но для а то он мне так есть ли к",
    "Ukrainian": "і в не на я що як з це мій по у із за але для та чи він мені так є до про від",
    "Bulgarian": "и в не на аз че как с това моят по у от за но да се е си съм ми са което ще",
}
_BY_WORD: dict[str, list[str]] = {}
for _language, _common in _WORDS.items():
    for _word in _common.split():
        _BY_WORD.setdefault(_word, []).append(_language)


def script_of_text(text: str) -> str:
    """The writing system of most of its letters, `none` without letters."""
    counts = count_scripts(text)
    return max(counts, key=lambda script: (counts[script], script)) if counts else "none"


def language_of(words: Sequence[str], script: str) -> str:
    """The language whose commonest words are most of `words`, which are in lower case; `unknown` for a tie or none.

    Only Latin and Cyrillic are told apart by words. A text in another writing system has that as its language.
    """
    if script not in {LATIN, "Cyrillic"}:
        return script
    votes: dict[str, float] = {}
    for word in dict.fromkeys(words[:_NUM_WORDS]):
        languages = _BY_WORD.get(word, ())
        for language in languages:
            votes[language] = votes.get(language, 0.0) + 1 / len(languages)
    most = max(votes.values(), default=0.0)
    first = [language for language, count in votes.items() if count == most]
    return first[0] if len(first) == 1 else UNKNOWN
