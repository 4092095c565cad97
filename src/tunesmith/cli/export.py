"""`tunesmith export`: a version as merged safetensors for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from tunesmith.cli.output import print_json


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("reference")
@click.option("--to", "target", required=True, type=click.Path(path_type=Path), help="The new folder.")
@click.option(
    "--dtype", type=click.Choice(["auto", "bfloat16", "float32"]), default="auto", show_default=True,
    help="Type of the weights; auto is that of the base model's files.",
)  # fmt: skip
@click.option("--model", help="Where the base model is, if not where the recipe says.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(reference: str, target: Path, dtype: str, model: str | None, as_json: bool) -> None:
    """Merge the adapter of REFERENCE into its base model and write a folder that transformers and vLLM load.

    REFERENCE is a version (name, name@3, name@champion) or a folder with an adapter. The folder is read back and
    compared with base and adapter before it appears; an existing one is never touched.

    \b
    Example:
      tunesmith export summaries@champion --to merged
    """
    from tunesmith.cli.options import need_training_packages

    need_training_packages()
    from rich.console import Console

    from tunesmith.export.export import check_target, export
    from tunesmith.models.tuned import find_tuned
    from tunesmith.store.home import find_home

    check_target(target)
    with Console(stderr=True).status("merging, writing and reading back"):
        tuned = find_tuned(reference, find_home(), Path.cwd(), model)
        done = export(tuned, target, Path.cwd(), dtype)
    if as_json:
        print_json(done.to_json())
        return
    click.echo(f"{done.folder}: {done.reference} in {done.dtype}, {done.weight_bytes:,} bytes of weights")
    click.echo(
        f"read back, its logits differ by at most {done.largest_difference:.2g} from base and adapter in float32; "
        f"the same next token in {done.same_next_token:.0%} of places"
    )
