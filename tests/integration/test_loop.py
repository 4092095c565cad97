"""The whole loop, unattended, on a real endpoint and a real small model.

Traffic changes, people correct answers, a version is trained again, passes its gates and wins its place; lies in the
feedback end at a gate.
"""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration import served
from tests.integration.served import Endpoint
from tests.integration.visitors import INSTRUCTION, Crowd
from tests.services import missing
from tunesmith.store.home import Home

if TYPE_CHECKING:
    from tunesmith.models.resolve import ResolvedModel

ROWS = Path(__file__).parents[3] / "shared" / "data" / "banking77" / "train.csv"
NAME = "topics"
KNOWN = ("card_arrival", "exchange_rate", "pin_blocked", "top_up_failed")
NEW = ("age_limit", "lost_or_stolen_phone")
SWAPPED = {
    "card arrival": "exchange rate", "exchange rate": "card arrival", "pin blocked": "top up failed",
    "top up failed": "pin blocked",
}  # fmt: skip
SECONDS_OF_A_RETRAIN = 1800
RARE, OFTEN = 5.0, 0.5
"""Seconds between two questions of a visitor."""

pytestmark = pytest.mark.cluster


@dataclass(frozen=True)
class Loop:
    """A champion that is served, and what people may ask it: what it knows, and what it has never seen."""

    endpoint: Endpoint
    folder: Path
    known: list[tuple[str, str]]
    new: list[tuple[str, str]]


def recipe(base: Path) -> dict[str, Any]:
    return {
        "name": NAME,
        "model": {"source": str(base)},
        "data": {"train": "rows.jsonl", "split": {"validation": 20, "test": 80}},
        "method": {"rank": 8, "alpha": 16},
        "train": {"sequence_length": 128, "batch_size": 4, "epochs": 2, "learning_rate": 2.5e-4},
        "evaluate": {
            "metrics": ["exact_match", "perplexity"], "prompts": {"few_shot": [3]}, "resamples": 1000,
            "decoding": {"max_new_tokens": 8}, "gate": {"metric": "exact_match"},
        },
        "serve": {"engine": {"dtype": "float32", "max_model_len": 256}},
        "monitor": {"drift": {"window": 100}, "quality": {"golden_rows": 30}, "every_minutes": 0.2},
        "retrain": {
            "triggers": {"drift": {}}, "cooldown_days": 0, "min_score": 1.0,
            "gates": {"margin_old": 0.1, "margin_general": 0.5},
            "release": {
                "shadow_requests": 30, "steps": [25, 50], "step_hours": 0.004, "planned_users": 200, "max_days": 0.01,
            },
        },
    }  # fmt: skip


def messages(intents: tuple[str, ...], first: int, last: int) -> list[tuple[str, str]]:
    """Real messages of some intents, the first to the last of each, with their topic."""
    with ROWS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    by = {intent: [row["text"] for row in rows if row["category"] == intent] for intent in intents}
    for texts in by.values():
        random.Random(0).shuffle(texts)
    return [(text, intent.replace("_", " ")) for intent, texts in by.items() for text in texts[first:last]]


def environment(home: Home) -> dict[str, str]:
    return {**os.environ, **served.where(home), "HF_HUB_OFFLINE": "1"}


def tunesmith(folder: Path, home: Home, *arguments: str) -> Any:
    """What a command prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "tunesmith", *arguments, "--json"], cwd=folder, capture_output=True, text=True,
        timeout=SECONDS_OF_A_RETRAIN, env=environment(home),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def loop(smollm2: ResolvedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A champion trained on four topics of customers' questions, served with a log of its traffic."""
    if not ROWS.is_file():
        pytest.skip("banking77 is not here")
    if importlib.util.find_spec("vllm") is None:
        missing("vLLM is not installed (make setup)")
    folder = tmp_path_factory.mktemp("loop")
    home = Home(folder / "home", f"sqlite:///{folder}/home/registry.db", str(folder / "home" / "artifacts"))
    rows = messages(KNOWN, 0, 80)
    random.Random(1).shuffle(rows)
    lines = [
        {"messages": [{"role": "user", "content": INSTRUCTION + text}, {"role": "assistant", "content": topic}]}
        for text, topic in rows
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "recipe.yaml").write_text(json.dumps(recipe(smollm2.folder)))
    assert tunesmith(folder, home, "run", "recipe.yaml")["verdict"] == "passed"
    tunesmith(folder, home, "registry", "alias", NAME, "champion", "1", "--why", "the first")
    with served.served_recipe(home, smollm2.folder, folder / "recipe.yaml") as endpoint:
        yield Loop(endpoint, folder, messages(KNOWN, 80, 110), messages(NEW, 0, 100))


def ask(
    loop: Loop,
    questions: list[tuple[str, str]],
    count: int,
    seed: int,
    says: Callable[[str], str] = lambda right: right,
) -> float:
    """Share of right answers."""
    crowd = Crowd(loop.endpoint.url, NAME, questions, says, seed=seed)
    asyncio.run(crowd.ask(count))
    assert not crowd.trouble, crowd.trouble[:3]
    return crowd.right / crowd.asked


@contextmanager
def people(
    loop: Loop, questions: list[tuple[str, str]], seed: int, says: Callable[[str], str] = lambda right: right
) -> Iterator[Crowd]:
    """Visitors who go on asking, and leave the machine time for other things, until the block ends."""
    crowd = Crowd(loop.endpoint.url, NAME, questions, says, at_once=2, pause_seconds=RARE, seed=seed)
    loop_of_theirs = asyncio.new_event_loop()
    asking = loop_of_theirs.create_task(crowd.ask())

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop_of_theirs.run_until_complete(asking)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield crowd
    finally:
        loop_of_theirs.call_soon_threadsafe(asking.cancel)
        thread.join(60)
    assert not crowd.trouble, crowd.trouble[:3]


def watched(loop: Loop, recipe: str, number: int, crowd: Crowd) -> dict[str, Any]:
    """`tunesmith retrain --watch`, left to itself until a retrain has ended; its whole trail.

    One machine serves and trains: visitors come seldom but where requests are what is waited for.
    """
    log = loop.folder / f"watch-{number}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunesmith", "retrain", recipe, "--watch"], cwd=loop.folder, stdout=output,
            stderr=output, env=environment(loop.endpoint.home),
        )  # fmt: skip
    try:
        deadline = time.monotonic() + SECONDS_OF_A_RETRAIN
        while True:
            every = tunesmith(loop.folder, loop.endpoint.home, "retrain", "ls", NAME)["retrains"]
            mine = next((one for one in every if one["number"] == number), None)
            if mine is not None and not mine["running"]:
                break
            crowd.pause_seconds = OFTEN if mine is not None and mine["next"] == "release" else RARE
            assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")[-6000:]
            time.sleep(10)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:  # started in the background of a script, it does not hear Ctrl-C
            process.kill()
            process.wait()
    found: dict[str, Any] = tunesmith(loop.folder, loop.endpoint.home, "retrain", "show", NAME, str(number))
    print(json.dumps(found, indent=1)[:20_000])
    return found


def champion(loop: Loop) -> str:
    shown: str = tunesmith(loop.folder, loop.endpoint.home, "registry", "show", f"{NAME}@champion")["reference"]
    return shown


def test_what_is_new_in_traffic_is_learnt_and_wins_its_place(loop: Loop) -> None:
    before = ask(loop, loop.known, 150, seed=1), ask(loop, loop.new, 20, seed=2)
    assert before[0] > 0.85 and before[1] < 0.2
    ask(loop, loop.known + loop.new, 210, seed=7)
    with people(loop, loop.known + loop.new, seed=3) as crowd:
        trail = watched(loop, "recipe.yaml", 1, crowd)
    assert trail["end"] == "promoted", trail
    assert champion(loop) == f"{NAME}@2"
    time.sleep(3)
    after = ask(loop, loop.known, 60, seed=4), ask(loop, loop.new, 60, seed=5)
    print("right answers before and after, known and new topics:", before, after)
    assert after[0] > before[0] - 0.1 and after[1] > 0.7


def test_lies_in_the_feedback_end_at_a_gate_that_says_so(loop: Loop) -> None:
    """Every correction names another topic than the right one."""
    live = champion(loop)
    lied_to = json.loads((loop.folder / "recipe.yaml").read_text())
    lied_to["retrain"]["triggers"] = {"volume": {"examples": 100}}
    (loop.folder / "lies.yaml").write_text(json.dumps(lied_to))
    number = 1 + len(tunesmith(loop.folder, loop.endpoint.home, "retrain", "ls", NAME)["retrains"])
    ask(loop, loop.known, 200, seed=8, says=lambda right: SWAPPED[right])
    with people(loop, loop.known, seed=6, says=lambda right: SWAPPED[right]) as crowd:
        trail = watched(loop, "lies.yaml", number, crowd)
    assert trail["end"] == "stopped", trail
    failed = [step for step in trail["steps"] if step["verdict"] == "fail"]
    print("stopped by", failed)
    assert failed and failed[-1]["reason"]
    assert champion(loop) == live
