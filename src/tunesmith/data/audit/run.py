"""The audit: one pass over the rows, then joins over numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np

from tunesmith.data.audit.findings import CHECKS
from tunesmith.data.audit.findings.check import Batch, Check, Context
from tunesmith.data.audit.findings.imbalance import label_counts
from tunesmith.data.audit.findings.insufficient import sufficiency
from tunesmith.data.audit.findings.malformed import Malformed
from tunesmith.data.audit.findings.mixed_scripts import MixedScripts
from tunesmith.data.audit.lengths import lengths, round_edges
from tunesmith.data.audit.near import groups_of, near_components
from tunesmith.data.audit.report import AuditReport, PartStats, failing
from tunesmith.data.audit.table import NO_LABEL, RECORD, Similarity, Spool, Table, first_rows, spool
from tunesmith.data.audit.words import boilerplate, content, fingerprint, own_text, prompt_and_answer, shingles, spoken
from tunesmith.data.example import BadRow, Example
from tunesmith.recipe.data import AuditSection

BATCH_ROWS = 1024
BATCH_CHARACTERS = 4_000_000
MAX_LABELS_SHOWN = 500

Groups = dict[str, np.ndarray]
"""Part -> int32 array: for each example (bad rows are not counted), the index of the first one of its group."""


def audit(
    parts: Mapping[str, Iterable[Example | BadRow]],
    section: AuditSection,
    *,
    sequence_length: int | None = None,
    num_tokens: Callable[[list[Example]], list[int]] | None = None,
    special_tokens: Sequence[str] = (),
    malformed_path: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[AuditReport, Groups]:
    """Look for everything that `section` can name, in one pass over each part (train first).

    Overlong rows are found only with both `sequence_length` and `num_tokens`. Each malformed row is written to
    `malformed_path` as a line of JSON; the file appears only when there is one. `progress` is told the number of rows
    of each batch. A row that names its own split is judged as part of it, while groups follow the parts as given.

    Memory holds a batch and a few numbers a row; 3-grams and hashes are kept in temporary files (about 300 bytes a row
    of 80 characters).
    """
    context = Context(section, sequence_length, tuple(special_tokens))
    with ExitStack() as stack:
        listing = stack.enter_context(_listing(malformed_path))
        checks: list[Check] = [make(context) for make in CHECKS.values()]
        malformed = next(check for check in checks if isinstance(check, Malformed))
        malformed.listing = listing
        rows = stack.enter_context(spool(section.near_duplicate_threshold))
        _pass(parts, rows, checks, malformed, num_tokens, progress)
        rows.close()
        table = _table(rows, section.near_duplicate_threshold)
        report = _report(table, checks, malformed, context, num_tokens is not None)
        return report, _groups(table, list(parts))


def _pass(
    parts: Mapping[str, Iterable[Example | BadRow]],
    rows: Spool,
    checks: list[Check],
    malformed: Malformed,
    num_tokens: Callable[[list[Example]], list[int]] | None,
    progress: Callable[[int], None] | None,
) -> None:
    shared: frozenset[str] | None = None
    for part in parts:
        rows.streams.number(part)
        rows.parts.number(part)
    for part, stream in parts.items():
        for examples in _batches(_good(part, stream, malformed)):
            texts = [spoken(example) for example in examples]
            shared = boilerplate(texts) if shared is None else shared
            names = [example.split or part for example in examples]
            batch = Batch(examples, names, texts, num_tokens(examples) if num_tokens else None)
            rows.add(_records(part, batch, rows), shingles(own_text(text, shared) for text in texts))
            for check in checks:
                check.see(batch)
            if progress:
                progress(len(examples))


def _good(part: str, stream: Iterable[Example | BadRow], malformed: Malformed) -> Iterator[Example]:
    for row in stream:
        if isinstance(row, BadRow):
            malformed.see_bad(part, row)
        else:
            yield row


def _batches(examples: Iterable[Example]) -> Iterator[list[Example]]:
    batch: list[Example] = []
    num_characters = 0
    for example in examples:
        batch.append(example)
        num_characters += sum(len(content(message)) for message in example.messages)
        if len(batch) >= BATCH_ROWS or num_characters >= BATCH_CHARACTERS:
            yield batch
            batch, num_characters = [], 0
    if batch:
        yield batch


def _records(stream: str, batch: Batch, rows: Spool) -> np.ndarray:
    records = np.zeros(len(batch.examples), dtype=RECORD)
    prints = [fingerprint(example) for example in batch.examples]
    origins = [rows.origin_numbers(example) for example in batch.examples]
    records["stream"] = rows.streams.number(stream)
    records["part"] = [rows.parts.number(part) for part in batch.parts]
    records["whole"] = [hashes.whole for hashes in prints]
    records["prompt"] = [hashes.prompt for hashes in prints]
    records["answer"] = [hashes.answer for hashes in prints]
    records["num_characters"] = [sum(len(content(turn)) for turn in example.messages) for example in batch.examples]
    records["num_answer_characters"] = [_answer_length(example) for example in batch.examples]
    records["num_tokens"] = batch.num_tokens or 0
    records["label"] = [
        NO_LABEL if example.label is None else rows.labels.number(example.label) for example in batch.examples
    ]
    records["file"] = [file for file, _ in origins]
    records["line"] = [line for _, line in origins]
    return records


def _answer_length(example: Example) -> int:
    turns = len(prompt_and_answer(example)[0])
    return len(content(example.messages[turns])) if turns < len(example.messages) else 0


def _table(rows: Spool, threshold: float) -> Table:
    records = rows.mapped("records", RECORD)
    offsets = np.concatenate([[0], np.cumsum(records["num_grams"])]).astype(np.int64)
    similarity = Similarity(rows.mapped("grams", np.uint32), offsets)
    bands = rows.mapped("bands", np.uint32, (rows.num_rows, rows.num_bands))
    near = near_components(np.ascontiguousarray(records["grams"]), bands, similarity, threshold)
    parts, labels, files = tuple(rows.parts.known), tuple(rows.labels.known), tuple(rows.files.known)
    return Table(records, parts, labels, files, near, similarity)


def _report(table: Table, checks: list[Check], malformed: Malformed, context: Context, has_tokens: bool) -> AuditReport:
    findings = tuple(finding for check in checks for finding in check.findings(table))
    scripts = next(check for check in checks if isinstance(check, MixedScripts)).rows
    return AuditReport(
        passed=not failing(findings, context.section.fail_on),
        parts=_part_stats(table, malformed, has_tokens),
        scripts=dict(scripts.most_common()),
        sufficiency=sufficiency(table),
        findings=findings,
        fail_on=context.section.fail_on,
        near_duplicate_threshold=context.section.near_duplicate_threshold,
        sequence_length=context.sequence_length,
    )


def _part_stats(table: Table, malformed: Malformed, has_tokens: bool) -> tuple[PartStats, ...]:
    characters, tokens = table.column("num_characters"), table.column("num_tokens")
    character_edges, token_edges = round_edges(characters), round_edges(tokens)
    stats = []
    for part in table.parts:
        rows = table.rows_of(part)
        labels = label_counts(table, part)
        stats.append(
            PartStats(
                name=part,
                num_examples=len(rows),
                num_malformed=malformed.tally.counts[part],
                characters=lengths(characters[rows], character_edges),
                tokens=lengths(tokens[rows], token_edges) if has_tokens else None,
                labels=dict(list(labels.items())[:MAX_LABELS_SHOWN]),
                num_labels=len(labels),
            )
        )
    return tuple(stats)


def _groups(table: Table, streams: list[str]) -> Groups:
    joined = groups_of(table.near, table.column("prompt"), table.open_prompts())
    numbers = table.column("stream")
    return {name: first_rows(joined[numbers == number]).astype(np.int32) for number, name in enumerate(streams)}


class _listing:
    """A file of malformed rows that appears, whole, only when it has any."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def __enter__(self) -> IO[bytes] | None:
        if self.path is None:
            return None
        from tunesmith.store.durable import temporary_sibling

        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.temporary = temporary_sibling(self.path)
        self.file = self.temporary.open("wb")
        return self.file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.path is None:
            return
        from tunesmith.store.durable import sync_file, sync_folder

        self.file.flush()
        sync_file(self.file.fileno())
        num_bytes = self.file.tell()
        self.file.close()
        if kind is None and num_bytes:
            self.temporary.replace(self.path)
            sync_folder(self.path.parent)
        else:
            self.temporary.unlink(missing_ok=True)
            if kind is None:
                self.path.unlink(missing_ok=True)  # a listing of an earlier audit would mislead
