"""The profile of training data: what a text is like, what is stored with a dataset version, and damaged files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.data.prepared import preparation, write_rows
from tunesmith.data.audit.words import WORD
from tunesmith.data.example import Example, Origin
from tunesmith.data.prepare import prepare
from tunesmith.data.profile import build_profile, describe, features, profile_of, read_profile, write_profile
from tunesmith.data.profile.features import MAX_COLUMNS, WIDTH
from tunesmith.data.profile.profile import Profile
from tunesmith.errors import DataError


def example(text: str, answer: str = "yes", label: str | None = None) -> Example:
    messages: Any = [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    return Example(messages, Origin("rows.jsonl", 1), label=label)


def ask(text: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def test_a_text_in_numbers() -> None:
    described = describe(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "old"},
         {"role": "assistant", "content": "old"}, {"role": "user", "content": "Is 12 the SUM?\nThe sum, is it?"}],
        "Ja, das ist die Summe.",
    )  # fmt: skip
    assert described["characters"] == 30 and described["turns"] == 3
    assert described["words"] == 8 and described["distinct_words"] == 5 / 8
    assert described["word_length"] == pytest.approx(20 / 8)
    assert described["digits"] == pytest.approx(2 / 30) and described["punctuation"] == pytest.approx(3 / 30)
    assert described["capitals"] == pytest.approx(5 / 18)
    assert described["questions"] == 2 and described["newlines"] == 1
    assert (described["script"], described["language"]) == ("Latin", "English")
    assert described["answer.language"] == "German"


@pytest.mark.parametrize(
    ("text", "script", "language"),
    [
        ("How do I get my card to work with the app?", "Latin", "English"),
        ("Wie kann ich mein Konto schließen, und was kostet das?", "Latin", "German"),
        ("Comment est-ce que je peux changer le mot de passe ?", "Latin", "French"),
        ("¿Cómo puedo cambiar la clave de mi tarjeta?", "Latin", "Spanish"),
        ("Non riesco ad accedere al mio conto, come si fa?", "Latin", "Italian"),
        ("Não consigo usar o meu cartão, como é que eu faço?", "Latin", "Portuguese"),
        ("Как мне закрыть счёт и что для этого нужно?", "Cyrillic", "Russian"),
        ("Як мені закрити рахунок і що для цього є?", "Cyrillic", "Ukrainian"),
        ("我的卡丢了，怎么办？", "Japanese and chinese", "Japanese and chinese"),
        ("كيف يمكنني تغيير كلمة المرور؟", "Arabic", "Arabic"),
        ("12345 !!!", "none", "none"),
        ("xkcd qwrt", "Latin", "unknown"),
    ],
)
def test_script_and_language(text: str, script: str, language: str) -> None:
    described = describe(ask(text))
    assert (str(described["script"]).lower(), str(described["language"]).lower()) == (script.lower(), language.lower())


@pytest.mark.parametrize(
    "messages",
    [[], ask(""), ask("   \n"), ask(None), ask("\ud800 lone \udfff"), ask("\x00"), ask("😀" * 50), [{"role": "user"}],
     ask([{"type": "image_url"}, {"type": "text", "text": "hi"}]), ask([1, None]), [{"role": "system", "content": "s"}],
     ask("語" * 30_000), ask("word " * 400_000)],
)  # fmt: skip
def test_any_conversation_can_be_described(messages: list[dict[str, Any]]) -> None:
    values = [value for value in describe(messages, "").values() if isinstance(value, float)]
    assert np.isfinite(values).all()
    profile = build_profile([example("some text")])
    assert len(profile.of_prompts([messages, []])) == 2


def test_features_count_words_and_grams_of_each_text_alone() -> None:
    """Against counting in plain Python; a hash that meets another only lowers the number of columns."""
    texts = ["", "a", "Hello  hello world", "数据 数据", "x" * 10, "of it of it"]
    made = features(texts)
    for row, text in enumerate(texts):
        plain = " ".join(text.lower().split())
        padded = f" {plain} "
        grams = [padded[at : at + 4] for at in range(len(padded) - 3)]
        columns = made.columns[made.starts[row] : made.starts[row + 1]]
        counts = made.counts[made.starts[row] : made.starts[row + 1]]
        assert counts[columns < WIDTH // 2].sum() == len(WORD.findall(plain))
        assert counts[columns >= WIDTH // 2].sum() == len(grams)
        assert len(columns) <= len(set(WORD.findall(plain))) + len(set(grams))
    alone = features([texts[2]])
    assert (alone.columns == made.columns[made.starts[2] : made.starts[3]]).all()


def test_long_texts_that_are_alike_keep_like_columns() -> None:
    words = [f"word{number}" for number in range(600)]
    made = features([" ".join(words[:300]), " ".join(words[:300]) + " tail", "short"])
    rows = [set(made.columns[made.starts[row] : made.starts[row + 1]].tolist()) for row in range(3)]
    assert len(rows[0]) == len(rows[1]) == MAX_COLUMNS
    assert len(rows[0] & rows[1]) > 0.98 * MAX_COLUMNS and len(rows[2]) < 10


def equal(one: Profile, other: Profile) -> bool:
    columns = [(one.numbers, other.numbers), (one.categories, other.categories), (vars(one.features),) * 2]
    same = all(list(a) == list(b) and all(np.array_equal(a[key], b[key]) for key in a) for a, b in columns)
    return same and one.shared == other.shared and one.num_examples == other.num_examples


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows = [example(f"Question {n}, наприклад \ud800?", "ab"[n % 2], label="ab"[n % 2]) for n in range(40)]
    rows.append(example("", "", label="x"))
    profile = build_profile(rows)
    write_profile(profile, tmp_path)
    read = read_profile(tmp_path)
    assert read is not None and equal(profile, read)
    assert profile.summary()["shares"]["answer.label"] == {"a": 0.4878, "b": 0.4878, "x": 0.0244}


def test_a_sample_is_random_of_its_size_and_the_same_each_time() -> None:
    rows = [example(f"text {'x' * (n % 50)}", label=str(n)) for n in range(1000)]
    first, second = (build_profile(iter(rows), max_rows=100) for _ in range(2))
    assert equal(first, second) and len(first) == 100 and first.num_examples == 1000
    drawn = np.array([int(label) for label in first.categories["answer.label"]])
    assert len(set(drawn.tolist())) == 100 and 400 < drawn.mean() < 600


def test_a_dataset_version_brings_its_profile(tmp_path: Path) -> None:
    """Of the training rows only; one made before there were profiles gets the same from its examples."""
    write_rows(tmp_path / "rows.jsonl", 120)
    made = prepare(preparation(tmp_path), tmp_path / "datasets")
    profile = read_profile(made.folder)
    assert profile is not None and len(profile) == profile.num_examples == made.counts("train")["examples"]
    assert {"profile.npz", "profile.json"} <= made.manifest["files"].keys()
    old = tmp_path / "old"
    shutil.copytree(made.folder, old)
    for name in ("profile.npz", "profile.json"):
        (old / name).unlink()
    assert read_profile(old) is None and equal(profile_of(old), profile)


def test_no_rows_are_a_profile_too(tmp_path: Path) -> None:
    write_profile(build_profile([]), tmp_path)
    read = read_profile(tmp_path)
    assert read is not None and len(read) == 0


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


DAMAGES = {
    "npz gone": (lambda f: (f / "profile.npz").unlink(), "damaged or does not fit"),
    "json gone": (lambda f: (f / "profile.json").unlink(), "damaged or does not fit"),
    "npz flipped": (lambda f: _flip(f / "profile.npz"), "checksum differs"),
    "json cut": (lambda f: (f / "profile.json").write_text('{"format'), "damaged or does not fit"),
    "json a list": (lambda f: (f / "profile.json").write_text("[]"), "damaged or does not fit"),
    "rows wrong": (lambda f: _edit(f / "profile.json", rows=3), "arrays of unlike lengths"),
    "names gone": (lambda f: _edit(f / "profile.json", categories={"script": []}), "damaged or does not fit"),
    "format new": (lambda f: _edit(f / "profile.json", format=9), "is of format 9, this Tunesmith reads 1"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_profile_says_so(tmp_path: Path, damage: Any) -> None:
    write_profile(build_profile([example(f"text {n}") for n in range(20)]), tmp_path)
    damage[0](tmp_path)
    with pytest.raises(DataError, match=damage[1]) as caught:
        read_profile(tmp_path)
    assert "remove profile.npz and profile.json" in str(caught.value)
