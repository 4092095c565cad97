"""Share of answers that follow the recipe's JSON schema, and how many of their fields are right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tunesmith.errors import EvaluationError
from tunesmith.evaluate.answers import Answer, TestRow
from tunesmith.evaluate.metrics.json_valid import NOT_JSON, parsed
from tunesmith.evaluate.metrics.metric import Measured, Metric, means
from tunesmith.recipe.evaluate import EvaluateSection


class JsonSchema(Metric):
    """Compliance by jsonschema-rs, drafts 4 to 2020-12, formats checked; nothing is fetched for a `$ref`.

    `details` has field precision, recall and F1 over all rows with a JSON reference: a field is a path with its value,
    list positions left out so that one missing item does not make all after it wrong.
    """

    name = "json_schema"
    title = "Follows the schema"

    def check(self, rows: Sequence[TestRow], section: EvaluateSection) -> None:
        _validator(section.json_schema)

    def measure(self, rows: Sequence[TestRow], answers: Sequence[Answer], section: EvaluateSection) -> Measured:
        from importlib.metadata import version

        validator = _validator(section.json_schema)
        documents = [parsed(answer.text) for answer in answers]
        scores = [float(document is not NOT_JSON and validator.is_valid(document)) for document in documents]
        return self.measured(
            means(scores),
            scores,
            signature=f"json-schema|formats:checked|jsonschema-rs:{version('jsonschema-rs')}",
            details=_field_scores(rows, documents),
        )


def _validator(schema: dict[str, Any] | None) -> Any:
    import jsonschema_rs

    if schema is None:
        raise EvaluationError(
            "metric json_schema has no schema to check against",
            where="evaluate.json_schema",
            fix="give the schema there, or drop json_schema from evaluate.metrics",
        )
    try:
        return jsonschema_rs.validator_for(schema, validate_formats=True, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise EvaluationError(
            f"this is not a JSON schema: {str(error).splitlines()[0]}",
            where="evaluate.json_schema",
            fix="mend it; references must lie inside the schema, nothing is fetched",
        ) from None


def _field_scores(rows: Sequence[TestRow], documents: Sequence[Any]) -> dict[str, float | int]:
    num_given = num_wanted = num_right = num_not_json = 0
    for row, document in zip(rows, documents, strict=True):
        reference = parsed(row.reference)
        if reference is NOT_JSON:
            num_not_json += 1
            continue
        wanted, given = Counter(_fields(reference)), Counter(() if document is NOT_JSON else _fields(document))
        num_given, num_wanted = num_given + given.total(), num_wanted + wanted.total()
        num_right += (given & wanted).total()
    return {
        "field_precision": num_right / max(num_given, 1),
        "field_recall": num_right / max(num_wanted, 1),
        "field_f1": 2 * num_right / max(num_given + num_wanted, 1),
        "num_references_not_json": num_not_json,
    }


def _fields(document: Any) -> list[tuple[tuple[str, ...], str]]:
    """Leaves of a document with their paths; an empty object or list is a leaf. 1 and 1.0 are one value, as in JSON."""
    fields: list[tuple[tuple[str, ...], str]] = []
    left: list[tuple[tuple[str, ...], Any]] = [((), document)]
    while left:
        path, value = left.pop()
        if isinstance(value, dict) and value:
            left += [((*path, key), inner) for key, inner in value.items()]
        elif isinstance(value, list) and value:
            left += [((*path, "[]"), inner) for inner in value]
        else:
            is_whole = isinstance(value, float) and value.is_integer()
            fields.append((path, f"{type(value).__name__}:{value}" if not is_whole else f"int:{int(value)}"))
    return fields
