"""`tunesmith submit`: a recipe, run on someone else's machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tunesmith.cli.output import print_json
from tunesmith.cli.target_options import needs_httpx, target_options

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.cluster.submit import Prepared


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("recipe", type=click.Path(path_type=Path))
@target_options
@click.option(
    "--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe; repeatable."
)
@click.option("--detach", is_flag=True, help="Send it and return.")
@click.option("--again", is_flag=True, help="Run it anew, though the same recipe has run.")
@click.option("--yes", is_flag=True, help="Start whatever the plan says of memory and budget.")
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be sent.")
@click.option("--retrain", is_flag=True, help="Retrain there instead, against the registry here.")
@click.option("--watch", is_flag=True, help="With --retrain: stay, look, decide and drive, again and again.")
@click.option("--now", "wish", metavar="WHY", help="With --retrain: begin whatever the triggers say.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    recipe: Path, to: str | None, address: str | None, storage: str | None, overrides: tuple[str, ...], detach: bool,
    again: bool, yes: bool, dry_run: bool, retrain: bool, watch: bool, wish: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Run RECIPE on a cluster: audit, prepare, train, evaluate there; the version comes back into the registry here.

    The recipe and the files that it names are sent, nothing else. The same recipe is one job: given again, it is
    followed, or fetched, or goes on from its last checkpoint, on this or another cluster with the same storage. Ctrl-C
    leaves the job running.

    With --retrain the job is `tunesmith retrain RECIPE`, against the registry, traffic log and experiments here; a name
    has one such job.

    \b
    Example:
      tunesmith submit recipe.yaml --to lab
      tunesmith submit recipe.yaml --address http://127.0.0.1:8265 --storage s3://bucket/tunesmith
      tunesmith submit recipe.yaml --to lab --retrain --watch --detach
    """
    _check_options(retrain, watch, wish, again, yes)
    from rich.console import Console

    from tunesmith.cluster.ray_place import RayPlace
    from tunesmith.cluster.submit import prepare
    from tunesmith.cluster.targets import find_target
    from tunesmith.cluster.tunnel import reached
    from tunesmith.recipe.load import load_recipe

    needs_httpx()
    console = Console(stderr=True)
    loaded = load_recipe(recipe, overrides)
    target = click.get_current_context().with_resource(reached(find_target(to, address, storage)))
    place = RayPlace(target)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if retrain:
        from tunesmith.cli.submit_retrain import submit_retrain

        submit_retrain(loaded, target, place, console, watch, wish, detach, dry_run, as_json)
        return
    ready = prepare(loaded, target, place, say, again, yes)
    _tell(ready, say)
    if dry_run:
        print_json(_described(ready)) if as_json else None
        return
    if ready.result is None and ready.running is None:
        with console.status("sending"):
            place.send(ready.job, ready.attempt)
    if detach and ready.result is None:
        say(f"sent: `tunesmith jobs logs {ready.job.id} --follow` follows it")
        print_json({**_described(ready), "attempt": ready.attempt}) if as_json else click.echo(ready.job.id)
        return
    if ready.result is None:
        _follow(place, ready, say)
    _fetch(ready, console, as_json)


def _check_options(retrain: bool, watch: bool, wish: str | None, again: bool, yes: bool) -> None:
    """Raises UsageError for an option that would be ignored."""
    if not retrain and (watch or wish is not None):
        raise click.UsageError(f"{'--watch' if watch else '--now'} goes with --retrain.")
    if retrain and again:
        raise click.UsageError("--again is for a run: a retrain that is sent again goes on, or decides anew.")
    if retrain and yes:
        raise click.UsageError("--yes is for a run: a retrain asks nobody, and is held to its budget.")


def _follow(place: Any, ready: Prepared, say: Any) -> None:
    from tunesmith.cluster.follow import follow
    from tunesmith.cluster.job import read_result
    from tunesmith.cluster.targets import TargetError
    from tunesmith.report.legible import one_line, printable

    try:
        status = follow(
            place, ready.job.id, ready.attempt, lambda text: click.echo(printable(text), err=True, nl=False), say,
            ready.job,
        )  # fmt: skip
    except KeyboardInterrupt:
        say(f"\nthe job goes on without you. `tunesmith jobs logs {ready.job.id} --follow` follows it again, "
            f"`tunesmith jobs stop {ready.job.id}` ends it")  # fmt: skip
        raise SystemExit(130) from None
    result = read_result(ready.storage, ready.job.id)
    if result is None or result.version is None:
        raise TargetError(
            f"the job {status.state}: {one_line((result and result.problem) or status.message, 1000)}",
            where=ready.job.id,
            fix="mend what it says and give the same command again: what it has done is kept",
        )


def _fetch(ready: Prepared, console: Console, as_json: bool) -> None:
    from tunesmith.cluster.fetch import fetch
    from tunesmith.errors import GateFailed
    from tunesmith.store.home import find_home

    with console.status("fetching the version"):
        version, folder = fetch(ready.job.id, ready.storage, find_home())
    if as_json:
        print_json({**_described(ready), "version": version.to_json(), "report": str(folder / "report.html")})
    else:
        click.echo(f"{version.reference} ({version.verdict}), report: {folder / 'report.html'}")
    if version.verdict == "failed":
        raise GateFailed("; ".join(version.reasons))


def _tell(ready: Prepared, say: Any) -> None:
    size = len(ready.job.package) / 1e6
    held, origins = ready.package.files, ready.package.origins
    rows = ", ".join(f"{origins.get(name, name)} ({number / 1e6:.1f} MB)" for name, number in held.items())
    say(f"job: {ready.job.id}, {size:.1f} MB: {rows}, and Tunesmith itself")
    say(f"each worker: {ready.share.cpus} CPU, {ready.share.gpus} GPU; the driver runs on the head")
    if ready.result is not None:
        say("it has run to its end: --again runs it anew")
    elif ready.running is not None:
        say(f"it is {ready.running.state} already, attempt {ready.running.attempt}")
    elif ready.attempts:
        say(f"sent {ready.attempts} time(s) before: it goes on from its last checkpoint")


def _described(ready: Prepared) -> dict[str, Any]:
    return {
        "job": ready.job.id, "storage": ready.storage.shown, "package_bytes": len(ready.job.package),
        "files": ready.package.files, "cpus_per_worker": ready.share.cpus, "gpus_per_worker": ready.share.gpus,
        "state": "finished" if ready.result else ready.running.state if ready.running else "new",
    }  # fmt: skip
