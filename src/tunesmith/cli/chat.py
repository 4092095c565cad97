"""`tunesmith chat`: talk to a registered version."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tunesmith.cli.output import print_json


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("reference")
@click.option("--prompt", help="Answer this once and leave; - reads it from standard input.")
@click.option("--base", "use_base", is_flag=True, help="Let the base model answer, without the adapter.")
@click.option("--model", help="Where the base model is, if not where the recipe says.")
@click.option("--max-new-tokens", type=click.IntRange(min=1), help="Longest answer.  [default: 512]")
@click.option("--temperature", type=click.FloatRange(min=0), help="0 is greedy; the recipe's if left out.")
@click.option("--json", "as_json", is_flag=True, help="With --prompt: print the answer as JSON.")
def command(
    reference: str,
    prompt: str | None,
    use_base: bool,
    model: str | None,
    max_new_tokens: int | None,
    temperature: float | None,
    as_json: bool,
) -> None:
    """Talk to REFERENCE: a version (name, name@3, name@champion) or a folder with an adapter (./runs/1/adapter).

    In the chat, /reset forgets what was said, /base switches between base and tuned model, Ctrl-C stops an answer and
    Ctrl-D leaves.

    \b
    Example:
      tunesmith chat summaries@champion
      tunesmith chat summaries@3 --prompt "Summarise: def f(x): return x + 1"
    """
    if as_json and prompt is None:
        raise click.UsageError("--json needs --prompt")
    from tunesmith.cli.options import need_training_packages

    need_training_packages()
    from rich.console import Console

    from tunesmith.chat.conversation import Conversation
    from tunesmith.models.tuned import find_tuned
    from tunesmith.store.home import find_home

    if prompt == "-":
        prompt = sys.stdin.read()
    if prompt is not None and not prompt.strip():
        raise click.UsageError("the prompt is empty")
    given = {"max_new_tokens": max_new_tokens, "temperature": temperature}
    with Console(stderr=True).status("loading base and adapter"):
        tuned = find_tuned(reference, find_home(), Path.cwd(), model)
        conversation = Conversation.open(
            tuned, Path.cwd(), **{key: value for key, value in given.items() if value is not None}
        )
    conversation.use_base = use_base
    if prompt is None:
        _talk(conversation)
    else:
        _answer_once(conversation, prompt, as_json)


def _talk(conversation: Any) -> None:
    from tunesmith.chat.terminal import talk

    tuned = conversation.tuned
    click.echo(f"{tuned.name} on {tuned.base.source} ({'; '.join(tuned.base.trail)})", err=True)
    talk(conversation)


def _answer_once(conversation: Any, prompt: str, as_json: bool) -> None:
    from tunesmith.report.legible import visible

    if as_json:
        reply = conversation.ask(prompt, lambda piece: None)
        base = conversation.tuned.base
        named = {"reference": conversation.tuned.name, "base_model": base.source, "base_revision": base.revision}
        print_json({**named, **reply.to_json()})
        return
    reply = conversation.ask(prompt, lambda piece: click.echo(visible(piece), nl=False))
    click.echo()
    if not reply.finished:
        click.echo(f"(cut off after {reply.answer_tokens} tokens)", err=True)
