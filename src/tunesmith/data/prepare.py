"""Sources to a dataset version: read, render, tokenise, audit, split, pack, write."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data.assign import assign, check_lengths
from tunesmith.data.dataset import MANIFEST, Dataset, open_dataset
from tunesmith.data.pack import pack
from tunesmith.data.render import Renderer
from tunesmith.data.shards import write_shards
from tunesmith.data.split import PARTS
from tunesmith.data.spool import UNASSIGNED, Spool
from tunesmith.data.tokenise import BATCH, SHOWN, Progress, tokenise
from tunesmith.errors import DataError
from tunesmith.recipe.data import DataSection

FORMAT = 2
"""Changes when the same input would give other bytes; old dataset versions are then prepared anew."""


@dataclass(frozen=True)
class Preparation:
    """What a dataset version is made from: the recipe's rows and how a given model reads them."""

    data: DataSection
    folder: Path
    renderer: Renderer
    model: dict[str, str]
    sequence_length: int
    packing: bool

    def version(self, sources: list[dict[str, Any]] | None = None) -> str:
        """The hash of everything that decides the bytes: settings, the sources' contents, tokenizer and template."""
        parts = [
            FORMAT, self.settings(), sources if sources is not None else self.sources(), self.sequence_length,
            self.packing, self.renderer.fingerprint(),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def settings(self) -> dict[str, Any]:
        """What the recipe says about the rows, without what changes nothing in them."""
        return self.data.model_dump(mode="json", exclude={"ray_data_min_rows"})

    def sources(self) -> list[dict[str, str]]:
        """Every source with the hash of what it holds; reads all of them once."""
        from tunesmith.data.sources import describe, fingerprint

        return [
            {"part": part, "source": describe(source), "fingerprint": fingerprint(source, self.folder)}
            for part in PARTS
            for source in getattr(self.data, part) or ()
        ]


def prepare(plan: Preparation, datasets: Path, progress: Progress = lambda stage, rows: None) -> Dataset:
    """Make the dataset version, or find it when it was made before.

    The folder appears whole or not at all. Raises DataError for rows that cannot be used, naming the first few and
    counting all, when the audit refuses the data, and when the disk does not take the result.
    """
    plan.renderer.check()
    sources = plan.sources()
    version = plan.version(sources)
    target = datasets / version[:16]
    if not target.is_dir():
        try:
            _make(plan, sources, version, target, progress)
        except OSError as error:
            raise DataError(
                f"the dataset version cannot be written ({error.strerror or error})",
                where=str(datasets),
                fix="check the permissions and the space on the disk; TUNESMITH_HOME puts it elsewhere",
            ) from error
    return open_dataset(target)


def _make(plan: Preparation, sources: list[dict[str, str]], version: str, target: Path, progress: Progress) -> None:
    from tunesmith.store.durable import new_folder, sweep

    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    with new_folder(target) as unfinished, tempfile.TemporaryDirectory(dir=target.parent, prefix=".tmp-") as scratch:
        spool = tokenise(plan, Path(scratch), progress)
        check_lengths(plan, spool)
        audit, groups = audit_spool(plan, spool, unfinished, progress)
        manifest = write_parts(plan, spool, groups, unfinished, progress)
        head = {"format": FORMAT, "version": version[:16], "model": plan.model, "sources": sources}
        head["settings"] = plan.settings()
        findings = {finding.code: finding.count for finding in audit.findings}
        text = json.dumps(head | manifest | {"findings": findings}, indent=2) + "\n"
        (unfinished / MANIFEST).write_text(text, encoding="utf-8")


def audit_spool(plan: Preparation, spool: Spool, folder: Path, progress: Progress) -> tuple[Any, np.ndarray]:
    """The report, written beside the shards, and (rows,) the index of each row's first near-duplicate."""
    from tunesmith.data.audit import audit
    from tunesmith.data.audit.page import to_html

    lengths = _lengths_by_part(spool)
    report, by_part = audit(
        {name: spool.examples(part) for part, name in enumerate(PARTS)},
        plan.data.audit,
        sequence_length=plan.sequence_length,
        num_tokens=lambda examples: list(islice(lengths, len(examples))),
        special_tokens=plan.renderer.special_tokens,
        malformed_path=folder / "malformed.jsonl",
        progress=lambda rows: progress("audit", rows),
    )
    if not report.passed:
        first = report.failed[0]
        shown = first.samples[:SHOWN]
        notes = f" ({shown[0].note})" if shown and shown[0].note else ""
        raise DataError(
            f"the audit refuses the data: {'; '.join(finding.message for finding in report.failed)}{notes}",
            where=", ".join(sample.where for sample in shown) or "data",
            fix=f"{first.fix}; `tunesmith data audit RECIPE` shows all, data.audit.fail_on decides what refuses",
        )
    (folder / "audit.json").write_text(report.model_dump_json(indent=2), encoding="utf-8")
    (folder / "audit.html").write_text(to_html(report, "the dataset version"), encoding="utf-8")
    groups = np.arange(spool.num_rows)
    for part, name in enumerate(PARTS):
        rows = np.flatnonzero(spool.given == part)
        groups[rows] = rows[by_part[name]]
    return report, groups


def _lengths_by_part(spool: Spool) -> Iterator[int]:
    """Tokens of each conversation in the order in which the audit sees them."""
    for part in range(len(PARTS)):
        rows = np.flatnonzero(spool.given == part)
        for start in range(0, len(rows), BATCH):
            yield from spool.lengths[rows[start : start + BATCH]].tolist()


def write_parts(
    plan: Preparation, spool: Spool, groups: np.ndarray, folder: Path, progress: Progress
) -> dict[str, Any]:
    """Write shards and examples of every part; returns what the manifest says about them."""
    from tunesmith.store.content import describe

    parts = assign(plan, spool, groups)
    num_overlong = int((spool.lengths > plan.sequence_length).sum())
    counts = {}
    for part, name in enumerate(PARTS):
        chosen = np.flatnonzero(parts == part)
        lengths = np.minimum(spool.lengths[chosen], plan.sequence_length)
        packed = pack(lengths, plan.sequence_length, plan.data.split.seed, plan.packing)
        counts[name] = write_shards(spool, [chosen[row] for row in packed], plan.sequence_length, folder, name)
        _write_examples(spool, parts == part, folder / f"{name}-examples.parquet")
        progress("write", len(chosen))
    _write_profile(spool, parts == PARTS.index("train"), folder)
    files = describe({path.name: path for path in sorted(folder.iterdir())})
    num_dropped = num_overlong if plan.data.overlong == "drop" else 0
    return {
        "sequence_length": plan.sequence_length,
        "packing": plan.packing,
        "split_seed": plan.data.split.seed,
        "parts": counts,
        "malformed": spool.num_bad,
        "overlong": {"rows": num_overlong, "action": plan.data.overlong},
        "unused": int((parts == UNASSIGNED).sum()) - num_dropped,
        "content_hash": files.content_hash,
        "files": {file.name: file.sha256 for file in files.files},
    }


def _write_profile(spool: Spool, chosen: np.ndarray, folder: Path) -> None:
    from tunesmith.data.profile import build_profile, write_profile
    from tunesmith.data.profile.profile import sampled_rows
    from tunesmith.data.spool import to_example

    rows = np.flatnonzero(chosen)
    wanted = np.zeros(len(chosen), bool)
    wanted[rows[sampled_rows(len(rows))]] = True
    sample = (to_example(row) for batch in _selected(spool, wanted) for row in batch.to_pylist())
    write_profile(build_profile(sample, num_examples=len(rows)), folder)


def _selected(spool: Spool, chosen: np.ndarray) -> Iterator[Any]:
    """The conversations that are chosen (rows,), as Arrow record batches, in order."""
    import pyarrow as pa

    offset = 0
    for batch in spool.batches():
        yield batch.filter(pa.array(chosen[offset : offset + len(batch)]))
        offset += len(batch)


def _write_examples(spool: Spool, chosen: np.ndarray, path: Path) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, spool.schema, compression="zstd") as writer:
        for batch in _selected(spool, chosen):
            if len(batch):
                writer.write_batch(batch)
