"""Rows and preparations that tests of dataset versions share."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from tests.unit.data.chat_models import renderer
from tunesmith.data.dataset import Dataset
from tunesmith.data.prepare import Preparation
from tunesmith.recipe.data import DataSection

WORDS = ("card", "bank", "money", "where", "when", "lost", "new", "old", "fee", "app", "pin", "fox", "数据", "Fluß")


def write_rows(path: Path, num_rows: int, seed: int = 0, **columns: Any) -> list[dict[str, Any]]:
    """Conversations of one or two answers, 35 to 350 tokens; a system message in every third, some weights."""
    draw = random.Random(seed)

    def text() -> str:
        return " ".join(draw.choice(WORDS) + str(draw.randrange(1000)) for _ in range(draw.randrange(4, 16)))

    rows = []
    for number in range(num_rows):
        messages: list[dict[str, Any]] = (
            [{"role": "system", "content": f"Be brief {number}."}] if number % 3 == 0 else []
        )
        for _ in range(1 + number % 2):
            messages += [{"role": "user", "content": text()}, {"role": "assistant", "content": text()}]
        if number % 4 == 1:
            messages[-1]["weight"] = 0.5
        rows.append({"messages": messages} | {name: values[number % len(values)] for name, values in columns.items()})
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return rows


def preparation(
    folder: Path, style: str = "chatml", sequence_length: int = 512, packing: bool = True, **data: Any
) -> Preparation:
    """How the rows of `folder` are prepared; `data` is the recipe's section."""
    section = DataSection.model_validate({"train": "rows.jsonl", "audit": {"fail_on": ["malformed"]}} | data)
    made = renderer(style, train_on=section.train_on)
    return Preparation(section, folder, made, {"source": "tiny", "revision": "1"}, sequence_length, packing)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a dataset version, by name; what is unpacked for reading is none of it."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def places(made: Dataset, part: str) -> list[int]:
    """Lines of the conversations of a part."""
    return [example.origin.line for example in made.examples(part)]


def packed(made: Dataset, part: str) -> list[dict[str, Any]]:
    """Every packed row, read from the Parquet shards."""
    return [
        row for path in sorted(made.folder.glob(f"{part}-[0-9]*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def key(messages: Any) -> bytes:
    """What tells conversations apart."""
    return orjson.dumps(messages)
