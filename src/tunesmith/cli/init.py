"""`tunesmith init`: write a commented recipe from a few answers or flags."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, get_args

import click

from tunesmith.cli.output import check_output, write_output
from tunesmith.recipe.draft import DOCSTRINGS, TASKS, Answers, Task, draft_recipe

if TYPE_CHECKING:
    from tunesmith.cli.first_row import FirstRow

MODEL = "smollm2-135m-instruct"
"""Small enough for any machine."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@click.command(name="init")
@click.option("--name", help="Name the versions are registered under.")
@click.option("--model", help="Base model: a short name, hub id, folder or GGUF file.")
@click.option("--data", help=f"Rows of examples: a path, glob or URL; or {DOCSTRINGS}.")
@click.option("--task", type=click.Choice(get_args(Task)), help="What the answers are.")
@click.option("--output", type=click.Path(path_type=Path), help="File to write; without it the recipe goes to stdout.")
@click.option("--force", is_flag=True, help="Replace the output file.")
@click.option("--yes", is_flag=True, help="Ask nothing; take defaults for what is not given.")
def command(
    name: str | None,
    model: str | None,
    data: str | None,
    task: Task | None,
    output: Path | None,
    force: bool,
    yes: bool,
) -> None:
    """Write a commented recipe from a few answers or flags.

    \b
    Example:
      tunesmith init --data rows.jsonl --model smollm2-135m-instruct --output recipe.yaml --yes
    """
    asking = not yes and sys.stdin.isatty()
    ask = _prompt if asking else _take_default
    if output is None and asking and sys.stdout.isatty():
        output = Path(ask("Write to (- for the screen)", "recipe.yaml", _not_empty))
    output = None if output == Path("-") else output
    if output is not None:
        check_output(output, force=force)  # before the questions, not after
    data = ask("Data: path, glob or URL of rows", DOCSTRINGS, _not_empty) if data is None else _not_empty(data)
    first = _look_at(data)
    task = task or _as_task(ask(f"Task ({', '.join(TASKS)})", _likely_task(first), _check_task))
    model = ask("Model", MODEL, _not_empty) if model is None else _not_empty(model)
    name = ask("Name", _suggest_name(data), _check_name) if name is None else _check_name(name)
    row_format, columns = (first.format, first.columns) if first else ("auto", ())
    answers = Answers(name, model, _from_recipe(data, output), task, row_format, columns)
    _deliver(draft_recipe(answers), output, force)


def _deliver(text: str, output: Path | None, force: bool) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    write_output(output, text, force=force)
    click.echo(f"wrote {output}; next: tunesmith recipe show {output}", err=True)


def _take_default(question: str, default: str, check: Callable[[str], str]) -> str:
    click.echo(f"{question}: {default}", err=True)
    return default


def _prompt(question: str, default: str, check: Callable[[str], str]) -> str:
    # The recipe may be on its way into a pipe: questions go to stderr.
    answer: str = click.prompt(question, default=default, err=True, value_proc=check)
    return answer


def _not_empty(answer: str) -> str:
    if not answer.strip():
        raise click.UsageError("an empty answer: give a word, or leave the flag out")
    return answer


def _check_task(answer: str) -> str:
    if answer not in TASKS:
        raise click.UsageError(f"'{answer}' is not one of {', '.join(TASKS)}")
    return answer


def _as_task(answer: str) -> Task:
    return next(task for task in TASKS if task == answer)


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise click.UsageError(f"'{name}' cannot be a name: use lower-case letters, digits, dots, dashes, underscores")
    return name


def _suggest_name(data: str) -> str:
    stem = PurePath(data.rstrip("/")).name.split(".")[0].lower()
    name = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")[:50]
    return name or "my-model"


def _likely_task(first: FirstRow | None) -> Task:
    if first is None:
        return "generation"
    by_format: dict[str, Task] = {"text-label": "classification", "chat": "chat", "sharegpt": "chat"}
    return by_format.get(first.format, "generation")


def _look_at(data: str) -> FirstRow | None:
    from tunesmith.cli.first_row import is_local, look_at_first_row

    if data == DOCSTRINGS or not is_local(data):
        return None
    if not any(character in data for character in "*?[") and not Path(data).expanduser().exists():
        click.echo(f"note: {data} is not there yet; the recipe names it all the same", err=True)
        return None
    return look_at_first_row(data)


def _from_recipe(data: str, output: Path | None) -> str:
    """The data's path as seen from the recipe's folder, where relative paths in a recipe start."""
    from tunesmith.cli.first_row import is_local

    if data == DOCSTRINGS or output is None or not is_local(data) or data.startswith(("/", "~")):
        return data
    return Path(os.path.relpath(Path(data).absolute(), output.parent.resolve())).as_posix()
