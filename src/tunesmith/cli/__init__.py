"""The command line: one file per verb; each parses, calls one function and prints."""

from __future__ import annotations

import importlib
import sys

import click

VERBS = {
    "init": "Write a commented recipe from a few answers or flags.",
    "doctor": "Say what this machine can do, what is missing and how to get it.",
    "recipe": "Show a recipe resolved, or write the JSON schema for editors.",
    "data": "Audit, prepare and look at training data.",
    "plan": "Say before a run what fits, how long it takes and what it costs.",
    "train": "Train the adapter a recipe describes.",
    "evaluate": "Compare base model, best prompt and tuned model on held-out rows.",
    "run": "All of it: audit, prepare, train, evaluate, register.",
    "sweep": "Try many settings of a recipe within a budget; register the best.",
    "submit": "Run a recipe on a cluster; the version comes back here.",
    "jobs": "List, follow, stop and fetch what was submitted.",
    "cluster": "Rent a Ray cluster, see what it costs, end it and know that nothing is left.",
    "k8s": "Write a recipe as what Kubernetes runs.",
    "registry": "List versions and move aliases.",
    "serve": "Put versions behind an endpoint that any OpenAI client can use.",
    "experiment": "Variants in real traffic, and statistics that decide.",
    "review": "Have people judge answers, blind; read what they said.",
    "monitor": "Watch what is asked and answered: drift, quality, health.",
    "retrain": "Train again when it pays, and let the new version win its place.",
    "keys": "Make and revoke API keys of that endpoint.",
    "chat": "Talk to a registered version.",
    "export": "Write a version as merged safetensors for other tools.",
}
"""Verb -> line of help. The verb's module `tunesmith.cli.VERB` is imported only when it is used: help stays instant."""


class LazyVerbs(click.Group):
    """A group that knows its commands' names and help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"tunesmith.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from tunesmith.errors import did_you_mean

            raise click.UsageError(f"no command '{args[0]}'; {did_you_mean(args[0], VERBS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=LazyVerbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tunesmith", prog_name="tunesmith")
def cli() -> None:
    """Fine-tune open LLMs on Ray: from rows of examples to a measured, registered adapter.

    \b
    Example:
      tunesmith init --data rows.jsonl --model smollm2-135m-instruct > recipe.yaml
      tunesmith run recipe.yaml
    """


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a gate failed, 2 a mistake the user can mend."""
    from tunesmith.errors import TunesmithError

    if "--json" in sys.argv and not {"-h", "--help"} & set(sys.argv):
        from tunesmith.cli.output import keep_stdout_for_json

        keep_stdout_for_json()
    try:
        cli.main(standalone_mode=True)
    except TunesmithError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None
