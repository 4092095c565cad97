"""The rows of a retrain: the champion's own, what is new to learn from, and what is new to be judged by."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.data.audit import audit
from tunesmith.data.example import Example, Message, Origin
from tunesmith.monitor.retrain.said import Candidate, key_of
from tunesmith.monitor.retrain.settle import Settled, plain, weightiest
from tunesmith.recipe.data import AuditSection
from tunesmith.store.durable import write_whole

PARTS = ("train", "validation", "test")
NEW_TRAIN, NEW_TEST = "new-train.jsonl", "new-test.jsonl"
OLD = {part: f"old-{part}.jsonl" for part in PARTS}


@dataclass(frozen=True)
class Rows:
    """Rows by file. `counts` say how many there are of each, `left_out` how many are in none, by why."""

    files: dict[str, tuple[dict[str, Any], ...]]
    counts: dict[str, int]
    left_out: dict[str, int]

    def write(self, folder: Path) -> None:
        """Write the files that have rows. What an earlier retrain has left in the folder goes first."""
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in self.files.items():
            if rows:
                write_whole(folder / name, "".join(f"{_line(row)}\n" for row in rows).encode())


def is_held_out(key: str, share: float) -> bool:
    """Whether a question judges and is never trained on: by its own hash, so the same in every retrain."""
    return int(hashlib.sha256(f"held out {key}".encode()).hexdigest()[:12], 16) < share * 16**12


def assemble(
    old: dict[str, Sequence[Example]],
    settled: Settled,
    section: AuditSection,
    max_share_new: float,
    test_share: float,
) -> Rows:
    """Put old and new together.

    Old test rows stay as they are, so that forgetting shows. An old row to learn from goes where a newer correction of
    the same question says something else. New rows that are near-duplicates of held-out ones are not trained on; new
    ones to be judged by are none that training rows give away. New rows beyond `max_share_new` go, the oldest first,
    ratings before corrections; of those that stay no tenant has said more than its share.
    """
    left_out: Counter[str] = Counter(settled.left_out)
    corrected = {one.key: plain(one.answer) for one in settled.kept if one.kind != "rated"}
    kept: dict[str, list[Example]] = {"test": list(old["test"])}
    for part in ("train", "validation"):
        kept[part] = [row for row in old[part] if _agrees(row, corrected)]
        left_out["old rows replaced by a correction"] += len(old[part]) - len(kept[part])
    known = {key_of(row.prompt) for part in ("train", "validation") for row in kept[part]}
    tested = {key_of(row.prompt) for row in kept["test"]}
    new = [one for one in settled.kept if one.key not in known]
    left_out["among the old rows already"] += len(settled.kept) - len(new)
    held = [one for one in new if one.key in tested or is_held_out(one.key, test_share)]
    learned = [one for one in new if one.key not in tested and not is_held_out(one.key, test_share)]
    held, learned = _apart(kept, held, learned, section, left_out)
    allowed = _allowed(len(kept["train"]), max_share_new)
    left_out["more than the share of what is new"] += max(0, len(learned) - allowed)
    # A tenant's share holds of what is trained on and of what judges, not only of all that was said.
    judging, taught = weightiest(held, settled.max_share_tenant), weightiest(learned, settled.max_share_tenant, allowed)
    left_out["one tenant said too much"] += min(len(learned), allowed) - len(taught) + len(held) - len(judging)
    held, learned = judging, taught
    labelled = all(row.label is not None for row in kept["train"]) and bool(kept["train"])
    files: dict[str, tuple[dict[str, Any], ...]] = {OLD[part]: tuple(_row(row) for row in kept[part]) for part in PARTS}
    files[NEW_TRAIN] = tuple(one.row(labelled) for one in learned)
    files[NEW_TEST] = tuple(one.row(labelled) for one in held)
    counts = {name.removesuffix(".jsonl").replace("-", " "): len(rows) for name, rows in files.items()}
    kinds = Counter(one.kind for one in (*held, *learned))
    counts |= {f"new from {kind}": kinds[kind] for kind in ("review", "correction", "rated")}
    return Rows(files, counts, dict(+left_out))


def _apart(
    old: dict[str, list[Example]],
    held: list[Candidate],
    learned: list[Candidate],
    section: AuditSection,
    left_out: Counter[str],
) -> tuple[list[Candidate], list[Candidate]]:
    """Held-out and learned rows no two of which the audit would call near-duplicates."""
    sides = [old["train"], old["validation"], old["test"], [*map(_example, held)], [*map(_example, learned)]]
    stream = [row for side in sides for row in side]
    if not held and not learned:
        return held, learned
    _, groups = audit({"all": iter(stream)}, section)
    group, start = groups["all"].tolist(), 0
    of: list[list[int]] = []
    for side in sides:
        of.append(group[start : start + len(side)])
        start += len(side)
    seen = {*of[0], *of[1]}
    judged = [one for one, own in zip(held, of[3], strict=True) if own not in seen]
    left_out["held out, but too like a row to learn from"] += len(held) - len(judged)
    secret = {*of[2], *of[3]}
    taught = [one for one, own in zip(learned, of[4], strict=True) if own not in secret]
    left_out["too like a held-out row"] += len(learned) - len(taught)
    return judged, taught


def _agrees(row: Example, corrected: dict[str, str]) -> bool:
    answer = corrected.get(key_of(row.prompt))
    return answer is None or answer == plain(row.reference)


def _allowed(num_old: int, share: float) -> int:
    return 10**12 if share >= 1 else int(share / (1 - share) * num_old)


def _example(one: Candidate) -> Example:
    turns = [*one.messages, Message(role="assistant", content=one.answer)]
    return Example(turns, Origin(one.of, 1))


def _row(row: Example) -> dict[str, Any]:
    values: dict[str, Any] = {"messages": row.messages}
    if row.tools:
        values["tools"] = row.tools
    if row.label is not None:
        values["label"] = row.label
    return values


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "replace").decode()


def questions(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The keys of rows, as they are compared."""
    return [key_of(row["messages"][:-1]) for row in rows]
