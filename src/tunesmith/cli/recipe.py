"""`tunesmith recipe`: show a recipe resolved, check it, write the JSON schema for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tunesmith.cli.output import print_json

if TYPE_CHECKING:
    from tunesmith.recipe.dump import Line
    from tunesmith.recipe.load import LoadedRecipe

_recipe = click.argument("recipe", type=click.Path(path_type=Path))
_overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Override a value, such as train.learning_rate=1e-4.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="recipe")
def command() -> None:
    """Show a recipe resolved, check it, or write the JSON schema for editors.

    \b
    Example:
      tunesmith recipe show recipe.yaml --set train.learning_rate=1e-4
    """


@command.command()
@_recipe
@_overrides
@_json
@click.option("--changed", is_flag=True, help="Leave out what equals the default.")
def show(recipe: Path, overrides: tuple[str, ...], as_json: bool, changed: bool) -> None:
    """Print RECIPE with everything it extends, overrides and defaults, and where each value came from.

    \b
    Example:
      tunesmith recipe show recipe.yaml --changed
    """
    from tunesmith.recipe.dump import content, dump_lines
    from tunesmith.recipe.load import load_recipe

    loaded = load_recipe(recipe, overrides)
    lines = dump_lines(loaded.recipe, defaults=not changed)
    if as_json:
        origins = {line.field: loaded.origins[line.field] for line in lines if line.field}
        values = content(loaded.recipe, defaults=not changed)
        print_json(_summary(loaded) | {"recipe": values, "origins": origins}, None)
        return
    _print_with_origins(loaded, lines)


@command.command()
@_recipe
@_overrides
@_json
def check(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Say whether RECIPE is right, or name every mistake with its line. Exits 2 when it is not.

    \b
    Example:
      tunesmith recipe check recipe.yaml
    """
    from tunesmith.recipe.load import load_recipe
    from tunesmith.recipe.mistakes import RecipeMistakes

    try:
        loaded = load_recipe(recipe, overrides)
    except RecipeMistakes as error:
        if not as_json:
            raise
        mistakes = [one.as_dict() for one in error.mistakes]
        print_json({"path": str(recipe), "valid": False, "mistakes": mistakes}, None)
        raise SystemExit(error.exit_code) from None
    if as_json:
        print_json(_summary(loaded) | {"valid": True, "mistakes": []}, None)
        return
    num_given = sum(origin != "default" for origin in loaded.origins.values())
    click.echo(f"{recipe} is a valid recipe for '{loaded.recipe.name}': {num_given} values given, the rest by default")


@command.command()
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file instead of the screen.")
@click.option("--markdown", is_flag=True, help="A readable table of every section and field instead.")
def schema(output: Path | None, markdown: bool) -> None:
    """Write the JSON schema of recipes (draft 2020-12), by which an editor completes and checks them.

    \b
    Example:
      tunesmith recipe schema --output recipe.schema.json
    """
    from tunesmith.recipe.json_schema import recipe_json_schema
    from tunesmith.recipe.reference import reference_markdown

    text = reference_markdown() if markdown else json.dumps(recipe_json_schema(), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    from tunesmith.cli.output import write_output

    write_output(output, text)
    click.echo(f"wrote {output}", err=True)


def _summary(loaded: LoadedRecipe) -> dict[str, str]:
    from tunesmith.recipe.fingerprint import fingerprint

    return {"path": str(loaded.path), "fingerprint": fingerprint(loaded.recipe)}


def _print_with_origins(loaded: LoadedRecipe, lines: list[Line]) -> None:
    """Print YAML with the origin of each value as an aligned comment; the output is itself a recipe."""
    from rich.console import Console
    from rich.text import Text

    width = min(max(len(line.text) for line in lines), 60)
    console = Console(soft_wrap=True, highlight=False)
    for line in lines:
        origin = loaded.origins.get(line.field, "") if line.field else ""
        key, colon, rest = line.text.partition(":")
        text = Text.assemble((key, "cyan"), colon, rest) if line.field or not rest else Text(line.text)
        if origin:
            text.append(
                " " * max(width - len(line.text), 0) + f"  # {origin}", style="dim" if origin == "default" else "green"
            )
        console.print(text)
    console.print(Text(f"# fingerprint {_summary(loaded)['fingerprint']}", style="dim"))
