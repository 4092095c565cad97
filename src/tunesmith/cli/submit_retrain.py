"""`tunesmith submit --retrain`: a retrain on someone else's machines, against the registry here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tunesmith.cli.output import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.cluster.job import Result
    from tunesmith.cluster.ray_place import RayPlace
    from tunesmith.cluster.submit_retrain import PreparedRetrain
    from tunesmith.cluster.targets import Target
    from tunesmith.recipe.load import LoadedRecipe


def submit_retrain(
    loaded: LoadedRecipe, target: Target, place: RayPlace, console: Console, watch: bool, wish: str | None,
    detach: bool, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Send the job, or find it running, and show what it says; exits as `tunesmith retrain` would here."""
    from tunesmith.cluster.retrain_job import in_words
    from tunesmith.cluster.submit_retrain import prepare_retrain, send
    from tunesmith.errors import GateFailed
    from tunesmith.store.home import find_home

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    ready = prepare_retrain(loaded, target, place, find_home(), say, watch, wish)
    _tell(ready, say)
    if dry_run:
        print_json(_described(ready)) if as_json else None
        return
    if ready.running is None:
        with console.status("sending"):
            send(place, ready)
    if detach:
        say(f"sent: `tunesmith jobs logs {ready.job.id} --follow` follows it")
        print_json({**_described(ready), "attempt": ready.attempt}) if as_json else click.echo(ready.job.id)
        return
    result = _followed(place, ready, say)
    outcome = result.outcome or {}
    if as_json:
        print_json({**_described(ready), **outcome, "exit_code": result.exit_code})
    else:
        click.echo(in_words(outcome))
    if result.exit_code:
        raise GateFailed(in_words(outcome))


def _followed(place: RayPlace, ready: PreparedRetrain, say: Any) -> Result:
    from tunesmith.cluster.follow import follow
    from tunesmith.cluster.job import read_result
    from tunesmith.cluster.targets import TargetError
    from tunesmith.report.legible import one_line, printable

    id = ready.job.id
    try:
        status = follow(
            place, id, ready.attempt, lambda text: click.echo(printable(text), err=True, nl=False), say, ready.job
        )
    except KeyboardInterrupt:
        say(f"\nthe job goes on without you. `tunesmith jobs logs {id} --follow` follows it again, "
            f"`tunesmith jobs stop {id}` ends it")  # fmt: skip
        raise SystemExit(130) from None
    result = read_result(ready.storage, id)
    if result is None or result.outcome is None:
        reason = (result and result.problem) or ("was asked to" if status.state == "stopped" else status.message)
        raise TargetError(
            f"the job {status.state}: {one_line(reason, 1000)}",
            where=id,
            fix="give the same command again when what it says is mended: a retrain in flight goes on where it was",
        )
    return result


def _tell(ready: PreparedRetrain, say: Any) -> None:
    held, origins = ready.package.files, ready.package.origins
    rows = ", ".join(f"{origins.get(name, name)} ({number / 1e6:.1f} MB)" for name, number in held.items())
    say(f"job: {ready.job.id}, {len(ready.job.package) / 1e6:.1f} MB: {rows}, and Tunesmith itself")
    say(f"registry: {ready.registry}, as the head's own environment names it")
    say(f"each worker: {ready.share.cpus} CPU, {ready.share.gpus} GPU; the driver runs on the head, and answers there")
    if ready.running is not None:
        say(f"it is {ready.running.state} already, attempt {ready.running.attempt}: it is followed")
    if ready.differs:
        say(f"warning: it was sent with another recipe, other files or another Tunesmith, and goes on with those; "
            f"`tunesmith jobs stop {ready.job.id}`, then this again, gives it these")  # fmt: skip


def _described(ready: PreparedRetrain) -> dict[str, Any]:
    return {
        "job": ready.job.id, "storage": ready.storage.shown, "registry": ready.registry,
        "package_bytes": len(ready.job.package), "files": ready.package.files, "cpus_per_worker": ready.share.cpus,
        "gpus_per_worker": ready.share.gpus, "state": ready.running.state if ready.running else "new",
    }  # fmt: skip
