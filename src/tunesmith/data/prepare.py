"""Sources to a dataset version: read, render, tokenise, audit, split, pack, write."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data.dataset import MANIFEST, Dataset, open_dataset
from tunesmith.data.example import BadRow, Example
from tunesmith.data.pack import pack
from tunesmith.data.render import Rendered, Renderer
from tunesmith.data.shards import write_shards
from tunesmith.data.split import PARTS, TEST, TRAIN, VALIDATION, split
from tunesmith.data.spool import UNASSIGNED, Spool
from tunesmith.errors import DataError
from tunesmith.recipe.data import DataSection

FORMAT = 1
"""Changes when the same input would give other bytes; old dataset versions are then prepared anew."""

BATCH = 1000
SHOWN = 5

Progress = Callable[[str, int], None]
"""Told the stage and the rows it has done."""


@dataclass(frozen=True)
class Preparation:
    """What a dataset version is made from: the recipe's rows and how a given model reads them."""

    data: DataSection
    folder: Path
    renderer: Renderer
    model: dict[str, str]
    sequence_length: int
    packing: bool

    def version(self) -> str:
        """The hash of everything that decides the bytes: settings, the sources' contents, tokenizer and template."""
        from tunesmith.data.sources import fingerprint

        settings = self.data.model_dump(mode="json", exclude={"ray_data_min_rows", "train", "validation", "test"})
        sources = {
            part: [fingerprint(source, self.folder) for source in getattr(self.data, part) or ()] for part in PARTS
        }
        tokenizer = self.renderer.tokenizer
        parts = [
            FORMAT, settings, sources, self.sequence_length, self.packing, sorted(self.renderer.stop_ids),
            hashlib.sha256(tokenizer._tokenizer.to_str().encode()).hexdigest(), tokenizer.chat_template,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def prepare(plan: Preparation, datasets: Path, progress: Progress = lambda stage, rows: None) -> Dataset:
    """Make the dataset version, or find it when it was made before.

    The folder appears whole or not at all. Raises DataError for rows that cannot be used, naming the first few and
    counting all, and when the audit refuses the data.
    """
    from tunesmith.store.durable import new_folder, sweep

    plan.renderer.check()
    version = plan.version()
    target = datasets / version[:16]
    if not target.is_dir():
        datasets.mkdir(parents=True, exist_ok=True)
        sweep(datasets)
        with new_folder(target) as unfinished, tempfile.TemporaryDirectory(dir=datasets, prefix=".tmp-") as scratch:
            spool = tokenise(plan, Path(scratch), progress)
            audit, groups = _audit(plan, spool, unfinished, progress)
            _write(plan, spool, groups, audit, version, unfinished, progress)
    return open_dataset(target)


def tokenise(plan: Preparation, scratch: Path, progress: Progress) -> Spool:
    """Read every row into a spool, tokenised; from `ray_data_min_rows` rows on, the tokenising is Ray Data's."""
    from tunesmith.data.read import read_examples

    spool = Spool(scratch)
    for part in PARTS:
        rows = read_examples(plan.data, plan.folder, part)  # type: ignore[arg-type]
        while batch := list(islice(rows, BATCH)):
            examples = [row for row in batch if isinstance(row, Example)]
            spool.add_bad([row for row in batch if isinstance(row, BadRow)], part)
            spool.add_examples(examples, part)
            if spool.num_rows <= plan.data.ray_data_min_rows and spool.num_tokenised + len(examples) == spool.num_rows:
                spool.add_tokens(refuse_bad(plan.renderer(examples)))
            progress("read", len(batch))
    spool.close_examples()
    if spool.num_tokenised < spool.num_rows:
        from tunesmith.data.at_scale import tokenise_rest

        tokenise_rest(spool, plan.renderer, progress)
    spool.close()
    return spool


def refuse_bad(rendered: list[Rendered | BadRow]) -> list[Rendered]:
    """The rendered rows; raises DataError when some cannot be trained on."""
    bad = [row for row in rendered if isinstance(row, BadRow)]
    if bad:
        where = ", ".join(str(row.origin) for row in bad[:SHOWN])
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise DataError(bad[0].what, where=f"{where}{more}", fix=bad[0].fix)
    return rendered  # type: ignore[return-value]


def _audit(plan: Preparation, spool: Spool, folder: Path, progress: Progress) -> tuple[Any, np.ndarray]:
    """The report, written beside the shards, and (rows,) the index of each row's first near-duplicate."""
    from tunesmith.data.audit import audit
    from tunesmith.data.audit.page import to_html

    lengths = iter(np.concatenate([spool.lengths[spool.given == part] for part in range(len(PARTS))]).tolist())
    report, by_part = audit(
        {name: spool.examples(part) for part, name in enumerate(PARTS)},
        plan.data.audit,
        sequence_length=plan.sequence_length,
        num_tokens=lambda examples: list(islice(lengths, len(examples))),
        special_tokens=[token for token in plan.renderer.tokenizer.all_special_tokens if len(token) > 1],
        malformed_path=folder / "malformed.jsonl",
        progress=lambda rows: progress("audit", rows),
    )
    if not report.passed:
        first = report.failed[0]
        samples = ", ".join(sample.where for sample in first.samples[:SHOWN])
        raise DataError(
            f"the audit refuses the data: {'; '.join(finding.message for finding in report.failed)}",
            where=samples or "data",
            fix=f"{first.fix}; `tunesmith data audit RECIPE` shows all, data.audit.fail_on decides what refuses",
        )
    (folder / "audit.json").write_text(report.model_dump_json(indent=2), encoding="utf-8")
    (folder / "audit.html").write_text(to_html(report, "the dataset version"), encoding="utf-8")
    groups = np.arange(spool.num_rows)
    for part, name in enumerate(PARTS):
        rows = np.flatnonzero(spool.given == part)
        groups[rows] = rows[by_part[name]]
    return report, groups


def _write(
    plan: Preparation, spool: Spool, groups: np.ndarray, report: Any, version: str, folder: Path, progress: Progress
) -> None:
    from tunesmith.store.content import describe

    parts, overlong = assign(plan, spool, groups)
    counts = {}
    for part, name in enumerate(PARTS):
        chosen = np.flatnonzero(parts == part)
        lengths = np.minimum(spool.lengths[chosen], plan.sequence_length)
        packed = pack(lengths, plan.sequence_length, plan.data.split.seed, plan.packing)
        counts[name] = write_shards(spool, [chosen[row] for row in packed], plan.sequence_length, folder, name)
        _write_examples(spool, parts == part, folder / f"{name}-examples.parquet")
        progress("write", len(chosen))
    if not counts["train"]["label_tokens"]:
        raise DataError("no row is left to learn from", where="data", fix="see data.overlong and data.split")
    files = describe({path.name: path for path in sorted(folder.iterdir())})
    manifest = {
        "format": FORMAT,
        "version": version[:16],
        "model": plan.model,
        "sequence_length": plan.sequence_length,
        "packing": plan.packing,
        "split_seed": plan.data.split.seed,
        "sources": _sources(plan),
        "parts": counts,
        "malformed": spool.num_bad,
        "overlong": overlong,
        "unused": int((parts == UNASSIGNED).sum()) - (overlong["rows"] if plan.data.overlong == "drop" else 0),
        "findings": {finding.code: finding.count for finding in report.findings},
        "content_hash": files.content_hash,
        "files": {file.name: file.sha256 for file in files.files},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def assign(plan: Preparation, spool: Spool, groups: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """(rows,) the part of each row, UNASSIGNED where it is left out, and what was done about overlong rows."""
    parts = spool.given.astype(np.int8)
    overlong = np.flatnonzero(spool.lengths > plan.sequence_length)
    if len(overlong) and plan.data.overlong == "error":
        raise DataError(
            f"{len(overlong)} of {spool.num_rows} conversations are longer than train.sequence_length "
            f"({plan.sequence_length} tokens; the longest has {int(spool.lengths.max())})",
            where=_places(spool, overlong[:SHOWN]),
            fix="raise train.sequence_length, or set data.overlong to truncate or drop",
        )
    if plan.data.overlong == "drop":
        parts[overlong] = UNASSIGNED
    elif len(overlong):
        _check_truncated(spool, overlong, plan.sequence_length)
    undecided = np.flatnonzero(parts == TRAIN)
    wanted = (not (spool.given == VALIDATION).any(), not (spool.given == TEST).any())
    if any(wanted):
        labels = spool.label_numbers()
        _, first = np.unique(groups[undecided], return_inverse=True)
        parts[undecided] = split(
            len(undecided), plan.data.split, None if labels is None else labels[undecided], first, wanted
        )
    train = np.flatnonzero(parts == TRAIN)
    if plan.data.max_train_examples is not None and len(train) > plan.data.max_train_examples:
        order = np.random.default_rng([plan.data.split.seed, 1]).permutation(len(train))
        parts[train[order[plan.data.max_train_examples :]]] = UNASSIGNED
    return parts, {"rows": len(overlong), "action": plan.data.overlong}


def _check_truncated(spool: Spool, overlong: np.ndarray, limit: int) -> None:
    """A conversation that loses all its trained tokens would be a row without loss."""
    starts = np.full(spool.num_rows, np.iinfo(np.int64).max)
    np.minimum.at(starts, spool.spans["row"], spool.spans["start"])
    lost = overlong[starts[overlong] >= limit]
    if len(lost):
        raise DataError(
            f"cut at {limit} tokens, {len(lost)} conversations would keep no trained token",
            where=_places(spool, lost[:SHOWN]),
            fix="raise train.sequence_length, or set data.overlong to drop",
        )


def _places(spool: Spool, rows: np.ndarray) -> str:
    wanted, offset, places = set(rows.tolist()), 0, []
    for batch in spool.batches():
        for row in sorted(index for index in wanted if offset <= index < offset + len(batch)):
            places.append(f"{batch.column(4)[row - offset]}:{batch.column(5)[row - offset]}")
        offset += len(batch)
    return ", ".join(places)


def _sources(plan: Preparation) -> list[dict[str, str]]:
    from tunesmith.data.sources import describe, fingerprint

    return [
        {"part": part, "source": describe(source), "fingerprint": fingerprint(source, plan.folder)}
        for part in PARTS
        for source in getattr(plan.data, part) or ()
    ]


def _write_examples(spool: Spool, chosen: np.ndarray, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def selected() -> Iterator[Any]:
        offset = 0
        for batch in spool.batches():
            yield batch.filter(pa.array(chosen[offset : offset + len(batch)]))
            offset += len(batch)

    with pq.ParquetWriter(path, spool.schema, compression="zstd") as writer:
        for batch in selected():
            if len(batch):
                writer.write_batch(batch)
