"""Windows of traffic against a profile: calm where nothing changes, an alarm where something does."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.monitor.drifting import OTHER_THINGS, profile_of_texts, prompts, sentences
from tunesmith.data.example import Example, Origin
from tunesmith.data.profile import Profile, build_profile
from tunesmith.errors import DataError, StoreError
from tunesmith.monitor.drift import DriftState, watch_drift
from tunesmith.monitor.drift.watch import DriftWindow
from tunesmith.recipe.monitor import DriftSection

SMALL = DriftSection(window=100)


@pytest.fixture(scope="module")
def profile() -> Profile:
    return profile_of_texts(sentences(1500, seed=0))


@pytest.fixture(scope="module")
def state(profile: Profile) -> DriftState:
    """Calibrated, nothing seen."""
    return watch_drift(profile, [], SMALL)[1]


def plain(window: DriftWindow) -> Any:
    """What two windows must share to be the same."""
    return window.p, window.fired, window.alarm, window.results, window.row, window.scores


@pytest.mark.slow
def test_stationary_streams_rarely_alarm(profile: Profile) -> None:
    """40 streams of 30 windows at 5 %: more than 6 would happen once in 300 times. Windows alone are not rare."""
    settings = DriftSection(window=60)
    _, state = watch_drift(profile, [], settings)
    alarms = fired = 0
    for seed in range(40):
        windows, _ = watch_drift(profile, prompts(sentences(1800, seed=100 + seed)), settings, state)
        assert len(windows) == 30
        alarms += any(window.alarm for window in windows)
        fired += sum(window.fired for window in windows)
    assert alarms <= 6
    assert 1 <= fired <= 0.1 * 40 * 30


def test_a_planted_drift_is_found_and_shown(profile: Profile, state: DriftState) -> None:
    texts = sentences(300, seed=1) + sentences(200, seed=2, new=0.3)
    windows, _ = watch_drift(profile, prompts(texts), SMALL, state)
    assert [window.alarm for window in windows] == [False, False, False, False, True]
    last = windows[-1]
    assert (last.number, last.start, last.end) == (4, 400, 500)
    assert last.causes[0] == "unlikeness" and last.fired and last.p <= last.threshold
    assert last.row["unlikeness"].effect > last.row["unlikeness"].floor
    assert len(last.region) == 20 and min(last.region) >= 400 and max(last.region) < 500
    about_music = [any(word in texts[index] for word in OTHER_THINGS) for index in last.region]
    assert np.mean(about_music) > 0.9
    assert last.scores == sorted(last.scores, reverse=True)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (str.upper, "capitals"),
        (lambda text: text + "\n\nSent from my phone\n", "newlines"),
        (lambda text: f"{text} {text} {text} {text}", "characters"),
        (lambda text: "Как мне закрыть мой счёт и что для этого нужно?", "script"),
        (lambda text: text.replace("o", "0").replace("e", "3"), "digits"),
    ],
)
def test_what_changed_is_named(profile: Profile, state: DriftState, change: Any, cause: str) -> None:
    windows, _ = watch_drift(profile, prompts([change(text) for text in sentences(200, seed=3)]), SMALL, state)
    assert windows[-1].alarm and cause in windows[-1].causes


def test_one_odd_window_is_no_alarm(profile: Profile, state: DriftState) -> None:
    texts = sentences(200, seed=4) + sentences(100, seed=5, new=1.0) + sentences(200, seed=6)
    windows, _ = watch_drift(profile, prompts(texts), SMALL, state)
    assert [window.alarm for window in windows] == [False] * 5 and windows[2].fired


def test_a_trifle_is_no_drift_however_sure() -> None:
    """A shift of a twentieth of the distribution in windows of 4,000: certain, and below the floor."""
    profile = profile_of_texts(sentences(5000, seed=0))
    texts = sentences(8000, seed=7)
    changed = [text.upper() if number % 20 == 0 else text for number, text in enumerate(texts)]
    windows, _ = watch_drift(profile, prompts(changed), DriftSection(window=4000, embedding="none"))
    found = windows[-1].row["capitals"]
    assert found.corrected < windows[-1].threshold and found.effect < found.floor and not windows[-1].alarm


def test_looks_add_up(profile: Profile, state: DriftState) -> None:
    """In parts, with what is remembered written down in between, as at once."""
    asked = prompts(sentences(500, seed=8, new=0.15))
    at_once, _ = watch_drift(profile, asked, SMALL, state)
    found, remembered, at = [], state, 0
    for until in (90, 230, 400, 500):
        windows, remembered = watch_drift(profile, asked[at:until], SMALL, remembered)
        remembered = DriftState.load(remembered.dump())
        found += windows
        at += windows[-1].end if windows else 0
    assert [plain(one) for one in found] == [plain(one) for one in at_once]
    assert [one.number for one in found] == [0, 1, 2, 3, 4] and remembered.windows == 5


def test_a_state_of_other_settings_or_another_profile_begins_anew(profile: Profile, state: DriftState) -> None:
    _, seen = watch_drift(profile, prompts(sentences(100, seed=9)), SMALL, state)
    _, other = watch_drift(profile, [], DriftSection(window=120), seen)
    assert other.key != seen.key and not other.recent and other.windows == 1
    _, another = watch_drift(profile_of_texts(sentences(400, seed=10)), [], SMALL, seen)
    assert another.key != seen.key and not another.recent


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key": 1, "windows": 0, "calibration": [1], "recent": []}'])
def test_a_damaged_state_says_so(text: str) -> None:
    with pytest.raises(StoreError, match="what was remembered of the last windows of traffic is damaged"):
        DriftState.load(text)


def test_no_window_no_judgement(profile: Profile, state: DriftState) -> None:
    assert watch_drift(profile, [], SMALL, state) == ([], state)
    assert watch_drift(profile, prompts(sentences(99, seed=11)), SMALL, state) == ([], state)


def test_too_small_a_profile_is_refused() -> None:
    with pytest.raises(DataError, match="the training data have 199 rows"):
        watch_drift(profile_of_texts(sentences(199, seed=0)), [], SMALL)


HOSTILE: list[list[Any]] = [
    [],
    [{"role": "user", "content": ""}],
    [{"role": "user", "content": "\ud800\udfff \x00"}],
    [{"role": "user", "content": "数" * 100_000}],
    [{"role": "user", "content": "word " * 100_000}],
    [{"role": "user", "content": None}],
    [{"role": "system", "content": "only"}],
    [{"role": "user", "content": [{"type": "text", "text": "part"}]}],
]


@pytest.mark.parametrize("prompt", HOSTILE, ids=range(len(HOSTILE)))
def test_windows_of_anything_are_judged(profile: Profile, state: DriftState, prompt: list[Any]) -> None:
    """All of a window the same: every figure is finite, and it is no longer what was trained on."""
    windows, _ = watch_drift(profile, [prompt] * 200, SMALL, state)
    figures = [value for one in (*windows[-1].results.values(), *windows[-1].row.values())
               for value in (one.statistic, one.p, one.corrected, one.effect)]  # fmt: skip
    assert np.isfinite(figures).all() and windows[-1].alarm


@pytest.mark.parametrize("embedding", ["ngrams", "none"])
@pytest.mark.parametrize("text", ["always the same", "", "\ud800"])
def test_training_data_of_one_text_only(text: str, embedding: Any) -> None:
    settings = DriftSection(window=60, embedding=embedding)
    profile = profile_of_texts([text] * 250)
    calm, state = watch_drift(profile, prompts([text] * 240), settings)
    assert len(calm) == 4 and not any(window.alarm or window.fired for window in calm)
    changed, _ = watch_drift(profile, prompts(["Something ELSE, is it not?"] * 120), settings, state)
    assert changed[-1].alarm


def test_numbers_that_are_none_count_as_nothing(profile: Profile) -> None:
    """A damaged column of a request's numbers is no reason to stop looking."""
    from tunesmith.monitor.drift.reference import Reference

    asked = profile.of_prompts(prompts(sentences(50, seed=1)))
    asked.numbers["words"][:] = np.nan
    assert np.isfinite(Reference(profile).observe(asked).numbers["words"]).all()


BANKING77 = Path(__file__).parents[3].parent / "shared" / "data" / "banking77" / "train.csv"


@pytest.mark.skipif(not BANKING77.is_file(), reason="banking77 is not there")
def test_new_intents_of_banking77() -> None:
    """20 of them held back, twice: alarms within 500 requests at 20 and 50 %, none at 0 %, the right ones shown."""
    with BANKING77.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    intents = sorted({label for _, label in rows})
    for seed in range(2):
        draw = np.random.default_rng(seed)
        held = set(draw.choice(intents, 20, replace=False).tolist())
        known, new = (
            [rows[place] for place in draw.permutation(len(rows)) if (rows[place][1] in held) == is_new]
            for is_new in (False, True)
        )
        profile = build_profile(
            Example([{"role": "user", "content": text}, {"role": "assistant", "content": label}], Origin("b", 1))
            for text, label in known[:5000]
        )
        _, state = watch_drift(profile, [], DriftSection())
        for share in (0.0, 0.2, 0.5):
            num_new = round(500 * share)
            traffic = known[5000 : 5500 - num_new] + new[:num_new]
            traffic = [traffic[place] for place in draw.permutation(500)]
            windows, _ = watch_drift(profile, prompts([text for text, _ in traffic]), DriftSection(), state)
            assert windows[-1].alarm == (share > 0) and not windows[0].alarm
            if share:
                assert np.mean([traffic[index][1] in held for index in windows[-1].region]) >= 0.5
