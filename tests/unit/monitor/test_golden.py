"""The golden set: what it begins with, what comes to it, and whether a loss has risen."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny_versions
from tests.unit.monitor.traffic_of import answered, said
from tunesmith.errors import DataError, EvaluationError, StoreError
from tunesmith.monitor.corrections import corrected, measure
from tunesmith.monitor.findings import Findings
from tunesmith.monitor.golden.compare import changes
from tunesmith.monitor.golden.evaluate import evaluate_golden, is_due
from tunesmith.monitor.golden.grow import add_corrections, add_file, rows_to_evaluate
from tunesmith.monitor.golden.row import GoldenRow
from tunesmith.monitor.golden.shelf import Shelf
from tunesmith.monitor.traffic.redact import shortened
from tunesmith.monitor.traffic.rows import TrafficRow
from tunesmith.monitor.traffic.write import write_traffic
from tunesmith.recipe.data import DataSection
from tunesmith.recipe.monitor import MonitorSection
from tunesmith.registry.version import Version
from tunesmith.review.item import Answer, NewItem
from tunesmith.review.reviews import Reviews
from tunesmith.store.database import Database
from tunesmith.store.home import Home, find_home

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return find_home()


@pytest.fixture
def database(home: Home) -> Database:
    return Database.open(home.database_url)


def row(number: int, kind: Any = "correction", answer: str = "yes", minutes: float = 0) -> GoldenRow:
    messages = ({"role": "user", "content": f"say {number}"}, {"role": "assistant", "content": answer})
    return GoldenRow(kind, messages, NOW + timedelta(minutes=minutes), f"request {number}")


def talked(database: Database, home: Home, number: int, begin: datetime = NOW, version: str = "tiny@1") -> list[str]:
    """Requests with their answers in the log; the ids."""
    ids = [f"{begin:%d%H}-{index}" for index in range(number)]
    moments = answered(database, ids, begin, version=version)
    write_traffic(home, [
        TrafficRow(
            id=one, at=moment + timedelta(seconds=2), name="tiny", model="tiny", version=version, answer="no",
            messages=json.dumps([{"role": "user", "content": f"say {one}"}]),
        )
        for one, moment in zip(ids, moments, strict=True)
    ])  # fmt: skip
    return ids


def losses(rows: list[GoldenRow], nats: float, seed: int = 0, tokens: int = 10) -> dict[str, tuple[float, int]]:
    noise = np.random.default_rng(seed).normal(0, 0.3, len(rows))
    return {one.id: (tokens * (nats + float(noise[number])), tokens) for number, one in enumerate(rows)}


def test_rows_are_kept_once_and_never_changed(home: Home) -> None:
    shelf = Shelf(home, "tiny")
    assert shelf.added() == [] and shelf.base("d1") is None
    assert shelf.add([row(1), row(2), row(1, minutes=5)]) == [row(1), row(2)]
    assert shelf.add([row(2, minutes=9), row(3, minutes=9)]) == [row(3, minutes=9)]
    assert shelf.add([row(3)]) == []
    assert Shelf(home, "tiny").added() == [*sorted([row(1), row(2)], key=lambda one: one.id), row(3, minutes=9)]
    assert Shelf(home, "other").added() == []
    shelf.keep_base("d1", [row(7, "test")])
    assert shelf.base("d1") == [row(7, "test")]
    assert row(1).id != row(1, answer="no").id and row(1).prompt == row(1, answer="no").prompt


def test_a_file_that_was_changed_is_refused(home: Home) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    shelf = Shelf(home, "tiny")
    shelf.add([row(1)])
    (path,) = Path(home.artifacts, "golden", "tiny").glob("*.parquet")
    table = pq.read_table(path)
    other = json.dumps(row(1, answer="no").messages)
    changed = table.set_column(table.column_names.index("messages"), "messages", pa.array([other]))
    pq.write_table(changed, path)
    with pytest.raises(StoreError, match="were changed after they were written"):
        shelf.added()
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(StoreError, match="cannot be read"):
        shelf.added()


def test_corrections_are_measured_once_and_outlive_the_log(database: Database, home: Home) -> None:
    ids = talked(database, home, 3)
    said(database, [*ids, "unknown"], [NOW + timedelta(hours=9)] * 4, "correction", ["no", "now", "yes", "x"])
    assert [(one.request, one.wanted, one.given) for one in corrected(database, home, "tiny")] == [
        (ids[0], "no", "no"), (ids[1], "now", "no"), (ids[2], "yes", "no"),
    ]  # fmt: skip
    assert measure(database, home, "tiny") == 3
    assert measure(database, home, "tiny") == 0
    for file in Path(home.artifacts, "traffic").rglob("*.parquet"):
        file.unlink()
    from tunesmith.monitor.quality.streams import read_streams

    (stream,) = read_streams(database, "tiny@1")
    assert (stream.metric, stream.more_is_better) == ("correction", False)
    assert stream.values == pytest.approx((0, 1 / 3, 1))
    assert corrected(database, home, "tiny") == []


def test_what_raters_see_is_redacted_too_and_half_a_question_is_none(database: Database, home: Home) -> None:
    reviews = Reviews(database, now=lambda: NOW)
    for content in ("I am ann@shop.com", shortened("word " * 20_000)):
        asked = [{"role": "user", "content": content}]
        (item,) = reviews.add([NewItem("tiny", "answer", asked, [Answer("tiny@1", "hello")])])
        reviews.rate(item, "ann", correction="write to eve@shop.com")
    (found,) = add_corrections(Shelf(home, "tiny"), database, home, "from bob@shop.com", True, None)
    # The system message is the recipe's own, and stays as the model was trained with it.
    assert [one["content"] for one in found.messages] == [
        "from bob@shop.com", "I am [e-mail address]", "write to [e-mail address]",
    ]  # fmt: skip


def test_the_same_rows_again_show_a_model_that_has_changed() -> None:
    rows = [row(number, "test") for number in range(60)]
    release, again = losses(rows, 1.0), losses(rows, 1.02, seed=1)
    (same, labelled, corrections) = changes(rows, again, release, 0.1)
    assert not same.worse and same.rows == (60, 60) and same.low is not None and same.low < 0.05
    assert labelled.difference is None and corrections.difference is None
    worse = changes(rows, losses(rows, 1.3), release, 0.1)[0]
    assert worse.worse and worse.difference == pytest.approx(0.3) and worse.low == pytest.approx(0.3)
    assert not changes(rows, losses(rows, 1.3), release, 0.4)[0].worse  # within the margin


def test_corrections_are_compared_with_corrections() -> None:
    """They are of answers that were wrong, so a higher loss on them than on test rows says nothing."""
    test = [row(number, "test") for number in range(50)]
    early = [row(number) for number in range(100, 130)]
    late = [row(number) for number in range(200, 230)]
    release = losses(test, 1.0)
    calm = losses(test, 1.0) | losses(early, 3.0, seed=1) | losses(late, 3.02, seed=2)
    found = {one.what: one for one in changes([*test, *early, *late], calm, release, 0.1)}
    assert not any(one.worse for one in found.values())
    assert found["new corrections"].rows == (20, 40)
    changed = losses(test, 1.0) | losses(early, 3.0, seed=1) | losses(late, 4.0, seed=2)
    found = {one.what: one for one in changes([*test, *early, *late], changed, release, 0.1)}
    assert found["new corrections"].worse
    labelled = [row(number, "labelled") for number in range(300, 340)]
    now = losses(test, 1.0) | losses(labelled, 1.5, seed=3)
    found = {one.what: one for one in changes([*test, *labelled], now, release, 0.1)}
    assert found["new labelled rows"].worse and not found["rows of the day of release"].worse


def test_chance_alone_is_rarely_worse() -> None:
    rows = [row(number, "test") for number in range(40)]
    later = [row(number, "labelled") for number in range(100, 140)]
    false = 0
    for seed in range(100):
        release = losses(rows, 1.0, seed)
        found = changes([*rows, *later], release | losses(later, 1.0, seed + 1000), release, 0.0, seed)
        false += any(one.worse for one in found)
    assert 0 < false <= 8  # 2.5 % of them are expected where there is no margin


def version_of(tmp_path: Path, **recipe: Any) -> Version:
    """Registered the day before NOW, so that what is said at NOW came after it."""
    recorded = {"data": recipe} if recipe else None
    return tiny_versions.register(tmp_path, recipe=recorded, now=lambda: NOW - timedelta(days=1))


@pytest.mark.filterwarnings("ignore")
def test_a_version_is_evaluated_on_the_day_of_release_and_again(home: Home, database: Database, tmp_path: Path) -> None:
    version, findings = version_of(tmp_path, system="Be brief."), Findings(database)
    settings = MonitorSection()
    assert is_due(findings, version, settings)
    with pytest.raises(EvaluationError, match="there are no golden rows for tiny@1"):
        evaluate_golden(home, database, findings, version, settings, NOW)
    ids = talked(database, home, 45, NOW)
    said(database, ids[:20], [NOW + timedelta(minutes=3)] * 20, "correction", ["yes"] * 19 + ["  "])
    first = evaluate_golden(home, database, findings, version, settings, NOW)
    assert (first.rule, first.kind, first.fired, first.version) == ("quality.golden", "quality", False, "tiny@1")
    assert first.evidence["rows"] == {"test": 0, "labelled": 0, "correction": 19}
    kept = Shelf(home, "tiny").added()
    assert [one["role"] for one in kept[0].messages] == ["system", "user", "assistant"]
    expected = by_transformers(version, [list(one.messages) for one in kept])
    assert {one: nats for one, (nats, _) in first.evidence["losses"].items()} == pytest.approx(
        {one.id: nats for one, nats in zip(kept, expected, strict=True)}, rel=1e-3
    )
    findings.note([first])
    for days, due in ((6, False), (7, True)):
        then = NOW + timedelta(days=days)
        assert is_due(Findings(database, lambda then=then: then), version, settings) == due

    hard = "".join(chr(number) for number in np.random.default_rng(0).integers(33, 127, 30))
    said(database, ids[20:], [NOW + timedelta(hours=3)] * 25, "correction", [hard] * 25)
    later = NOW + timedelta(days=7)
    again = evaluate_golden(home, database, findings, version, settings, later)
    found = {one["what"]: one for one in again.evidence["changes"]}
    assert found["rows of the day of release"]["difference"] is None  # 19 of 20
    assert found["new corrections"]["rows"] == [20, 24] or found["new corrections"]["rows"] == (20, 24)
    assert again.fired == found["new corrections"]["worse"]
    assert again.evidence["loss"] == pytest.approx(again.evidence["loss"]) and "losses" not in again.evidence


def test_a_loss_that_is_no_number_is_an_alarm_and_nothing_to_compare_with(
    home: Home, database: Database, tmp_path: Path
) -> None:
    version, findings = version_of(tmp_path), Findings(database)
    ids = talked(database, home, 25, NOW)
    said(database, ids, [NOW + timedelta(minutes=3)] * 25, "correction", ["yes"] * 25)

    def look(nats: float, days: int) -> Any:
        def measured(version: Any, rows: Any, *_: Any) -> Any:
            return {row.id: (nats if number == 3 else 1.0, 1) for number, row in enumerate(rows)}

        now = NOW + timedelta(days=days)
        found = evaluate_golden(home, database, findings, version, MonitorSection(), now, measured=measured)
        findings.note([found])
        return found

    broken = look(float("nan"), 0)
    assert broken.fired and "not a number on 1 of 25 rows" in broken.reason and "losses" not in broken.evidence
    first = look(1.0, 7)
    assert not first.fired and len(first.evidence["losses"]) == 25
    again = look(float("inf"), 14)
    assert again.fired and "inf" not in json.dumps(again.evidence)
    assert not look(1.0, 21).fired


def test_a_change_that_is_no_number_is_worse() -> None:
    rows = [row(number) for number in range(30)]
    at_release = losses(rows, 2.0)
    now = {**at_release, rows[0].id: (float("nan"), 10)}
    assert changes(rows, now, at_release, 0.1)[0].worse


def by_transformers(version: Version, conversations: list[list[dict[str, Any]]]) -> list[float]:
    """Nats of each answer, from all logits of the model that PEFT merges, in one plain pass."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(version.base_model, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, version.artefact_uri.removeprefix("file://") + "/files").merge_and_unload()
    tokenizer = AutoTokenizer.from_pretrained(version.base_model)
    sums = []
    for messages in conversations:
        prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
        before = tokenizer(prompt, add_special_tokens=False).input_ids
        answer = tokenizer(messages[-1]["content"] + "<|im_end|>", add_special_tokens=False).input_ids
        with torch.no_grad():
            logits = model(torch.tensor([before + answer])).logits[0]
        wanted = torch.tensor(answer)
        at = torch.arange(len(before) - 1, len(before) + len(answer) - 1)
        sums.append(float(-logits[at].log_softmax(-1)[torch.arange(len(answer)), wanted].sum()))
    return sums


def test_what_was_trained_on_is_left_out(home: Home, database: Database, tmp_path: Path) -> None:
    version = version_of(tmp_path)
    shelf = Shelf(home, "tiny")
    before = GoldenRow("correction", row(1).messages, version.created_at - timedelta(days=1), "request 1")
    after = GoldenRow("correction", row(2).messages, version.created_at + timedelta(days=1), "request 2")
    newer = GoldenRow("correction", row(2, answer="no").messages, version.created_at + timedelta(days=2), "request 3")
    shelf.add([before, after, newer])
    assert rows_to_evaluate(shelf, version, home, 100) == [newer]
    more = [
        GoldenRow("correction", row(number).messages, version.created_at + timedelta(days=number), "request")
        for number in range(3, 40)
    ]
    shelf.add(more)
    assert rows_to_evaluate(shelf, version, home, 20) == more[-20:]
    assert rows_to_evaluate(shelf, version, home, 20, always=[more[0].id]) == [more[0], *more[-20:]]


def test_rows_that_people_labelled_come_from_a_file(home: Home, tmp_path: Path) -> None:
    shelf, file = Shelf(home, "tiny"), tmp_path / "rows.jsonl"
    data = DataSection.model_validate({"train": "unread.jsonl", "system": "Be brief."})
    lines = [{"prompt": f"say {number}", "completion": "yes"} for number in range(3)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert len(add_file(shelf, file, data, NOW)) == 3
    assert add_file(shelf, file, data, NOW) == []
    assert {(one.kind, one.messages[0]["content"], one.messages[-1]["content"]) for one in shelf.added()} == {
        ("labelled", "Be brief.", "yes")
    }
    file.write_text(json.dumps({"prompt": "say 4"}) + "\n")
    with pytest.raises(DataError):
        add_file(shelf, file, data, NOW)
