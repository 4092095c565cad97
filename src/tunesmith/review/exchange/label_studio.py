"""Label Studio's JSON: a task for each item, an annotation for each rating.

The forms are those of its documentation (labelstud.io/guide/task_format) and of its tags: `pairwise` with `selected`,
`rating`, `number`, `choices` and `textarea`. What it does not know (sources, gold) rides in the task's `data`, which it
keeps and does not show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from xml.sax.saxutils import quoteattr

from tunesmith.errors import DataError
from tunesmith.review.exchange import Brought
from tunesmith.review.exchange.jsonl import brought_of
from tunesmith.review.exchange.typed import WRONG, json_of, rating_from, whole
from tunesmith.review.item import TIE, UNSURE, Answer, Item, Kind, Rating, in_order
from tunesmith.review.rubric import Rubric

BETTER, VERDICT, CORRECTION, PROMPT = "better", "verdict", "correction", "prompt"
TEXTS = ("answer1", "answer2")
SIDES = ("left", "right")
VIEWER = "label studio"
"""Who the sides are drawn for: there all raters of a task see the same ones."""

FIX = "export the project from Label Studio as JSON, not as JSON-MIN or CSV"


def tasks_of(
    items: Iterable[Item], ratings: Mapping[str, Sequence[Rating]], rubric: Rubric
) -> Iterator[dict[str, Any]]:
    """A task for each item."""
    stars = {scale.name for scale in rubric.scales if scale.low == 1}
    for number, one in enumerate(items, start=1):
        shown = one.shown_to(VIEWER)
        texts = {name: answer.text for name, answer in zip(TEXTS, shown, strict=False)}
        own = {
            "name": one.name, "kind": one.kind, "messages": one.messages,
            "answers": [asdict(answer) for answer in one.answers], "priority": one.priority,
            "gold": asdict(one.gold) if one.gold else None, "request": one.request,
        }  # fmt: skip
        prompt = "\n\n".join(f"{message['role']}: {message['content']}" for message in one.messages)
        yield {
            "id": number, "data": {PROMPT: prompt, **texts, "tunesmith": own},
            "annotations": [_annotation(said, shown, stars) for said in ratings.get(one.id, ())],
        }  # fmt: skip


def labelling_config(rubric: Rubric, kind: Kind) -> str:
    """What to paste as the project's labelling interface; pairs and single answers need a project each."""
    texts = TEXTS[: 2 if kind == "pair" else 1]
    lines = ["<View>", f'  <Text name="{PROMPT}" value="${PROMPT}"/>']
    lines += [f'  <Text name="{name}" value="${name}"/>' for name in texts]
    if kind == "pair":
        lines += [
            f'  <Pairwise name="{BETTER}" toName="{",".join(texts)}"/>',
            f'  <Choices name="{VERDICT}" toName="{PROMPT}"><Choice value="{TIE}"/></Choices>',
        ]
    for name in texts if kind == "answer" or rubric.scales_on_pairs else ():
        for scale in rubric.scales:
            lines.append(f"  <Header value={quoteattr(f'{name}: {scale.question or scale.name}')}/>")
            ends = f'min="{scale.low}" max="{scale.high}"'
            stars = f'<Rating name="{scale.name}-{name}" toName="{name}" maxRating="{scale.high}"/>'
            number = f'<Number name="{scale.name}-{name}" toName="{name}" {ends}/>'
            lines.append(f"  {stars if scale.low == 1 else number}")
    lines += [f'  <TextArea name="{CORRECTION}" toName="{PROMPT}" maxSubmissions="1" rows="5"/>', "</View>"]
    return "\n".join(lines) + "\n"


def read_tasks(text: str, place: str, name: str | None = None) -> list[Brought]:
    """Tasks as Label Studio exports them, ours or those of a project of one's own with the same names of tags.

    Texts without sources of ours are called `answer1` and `answer2`. Raises DataError naming the task.
    """
    try:
        tasks = json_of(text)
    except ValueError as error:
        raise DataError(f"this is not JSON: {error}", where=place, fix=FIX) from None
    if not isinstance(tasks, list):
        raise DataError("this is not a list of tasks", where=place, fix=FIX)
    return [_brought(task, f"{place}, task {number}", name) for number, task in enumerate(tasks, start=1)]


def _annotation(said: Rating, shown: Sequence[Answer], stars: set[str]) -> dict[str, Any]:
    name_of = {answer.source: text for answer, text in zip(shown, TEXTS, strict=False)}
    result: list[dict[str, Any]] = []

    def put(tag: str, to: str, kind: str, value: dict[str, Any]) -> None:
        made = {"id": f"{said.item[:8]}-{len(result)}", "from_name": tag, "to_name": to, "type": kind, "value": value}
        result.append(made)

    if said.choice in name_of:
        side = SIDES[TEXTS.index(name_of[said.choice])]
        put(BETTER, ",".join(name_of[answer.source] for answer in shown), "pairwise", {"selected": side})
    elif said.choice == TIE:
        put(VERDICT, PROMPT, "choices", {"choices": [TIE]})
    for source, scales in said.scales.items():
        for scale, value in scales.items():
            kind = "rating" if scale in stars else "number"
            put(f"{scale}-{name_of[source]}", name_of[source], kind, {kind: value})
    if said.correction:
        put(CORRECTION, PROMPT, "textarea", {"text": [said.correction]})
    moment = said.at.isoformat().replace("+00:00", "Z")
    return {
        "completed_by": {"email": said.rater}, "result": result, "was_cancelled": said.choice == UNSURE,
        "ground_truth": False, "created_at": moment, "updated_at": moment, "lead_time": said.seconds,
    }  # fmt: skip


def _brought(task: Any, where: str, name: str | None) -> Brought:
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        raise DataError("a task without data", where=where, fix=FIX)
    own = data.get("tunesmith")
    if not isinstance(own, dict):
        texts = [one for one in TEXTS if isinstance(data.get(one), str)]
        own = {
            "messages": [{"role": "user", "content": data.get(PROMPT, "")}],
            "answers": [{"source": one, "text": data[one]} for one in texts],
        }
    found = brought_of(own, where, name)
    # Where a text stands in the task says whose it is; our own order tells apart answers that are alike.
    shown = in_order(found.item.answers, found.item.id, VIEWER)
    texts = [str(data.get(one)) for one in TEXTS[: len(shown)]]
    if [one.text for one in shown] != texts:
        shown.sort(key=lambda one: texts.index(one.text) if one.text in texts else len(texts))
    source_of = {name: one.source for name, one in zip(TEXTS, shown, strict=False)}
    try:
        said = [_rating(one, found, source_of) for one in task.get("annotations") or ()]
    except WRONG as error:
        raise DataError(f"an annotation is not as expected ({error})", where=where, fix=FIX) from None
    return Brought(found.item, tuple(said), where)


def _rating(annotation: dict[str, Any], found: Brought, source_of: dict[str, str]) -> Rating:
    choice: str | None = UNSURE if annotation.get("was_cancelled") else None
    scales: dict[str, dict[str, int]] = {}
    correction = None
    for result in annotation["result"]:
        kind, value, tag, to = result["type"], result["value"], result["from_name"], result["to_name"]
        if kind == "pairwise":
            choice = source_of[TEXTS[SIDES.index(value["selected"])]]
        elif kind == "choices" and tag == VERDICT:
            choice = value["choices"][0]
        elif kind in ("rating", "number"):
            scales.setdefault(source_of[to], {})[tag.removesuffix(f"-{to}")] = whole(value[kind])
        elif kind == "textarea" and tag == CORRECTION:
            correction = "\n".join(value["text"])
    at = annotation.get("updated_at") or annotation["created_at"]
    rater = _rater(annotation.get("completed_by"))
    return rating_from(found.item.id, rater, at, choice, scales, correction, annotation.get("lead_time"))


def _rater(who: Any) -> str:
    """By address where there is one; Label Studio may also give no more than a number."""
    if isinstance(who, dict):
        return str(who.get("email") or f"label-studio-{who['id']}")
    return f"label-studio-{who}"
