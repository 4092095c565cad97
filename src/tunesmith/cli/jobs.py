"""`tunesmith jobs`: what runs on a cluster, and what came of it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import click

from tunesmith.cli.output import print_json
from tunesmith.cli.target_options import needs_httpx, target_options

if TYPE_CHECKING:
    from tunesmith.cluster.place import JobStatus
    from tunesmith.cluster.ray_place import RayPlace
    from tunesmith.cluster.targets import Target

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="jobs")
def command() -> None:
    """List, follow, stop and fetch jobs that were sent with `tunesmith submit`.

    \b
    Example:
      tunesmith jobs ls --to lab
      tunesmith jobs logs summaries-3f2a9c81d0e4 --follow --to lab
    """


@command.command("ls")
@target_options
@as_json
def list_(to: str | None, address: str | None, storage: str | None, as_json: bool) -> None:
    """List the jobs that the cluster knows of, oldest first.

    \b
    Example:
      tunesmith jobs ls --to lab
    """
    from dataclasses import asdict

    from tunesmith.cli.registry import print_table

    _, place = _open(to, address, storage)
    found = place.jobs()
    if as_json:
        print_json([asdict(one) for one in found])
        return
    rows = [(one.id, str(one.attempt), one.state, _when(one.started), one.message[:60]) for one in found]
    print_table(("job", "attempt", "state", "started (UTC)", "message"), rows)


@command.command()
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job is over.")
@target_options
def logs(job: str, follow: bool, to: str | None, address: str | None, storage: str | None) -> None:
    """Print what JOB has written. With --follow, go on until it is over, and exit as it does.

    \b
    Example:
      tunesmith jobs logs summaries-3f2a9c81d0e4 --follow --to lab
    """
    from tunesmith.cluster.follow import follow as go_on
    from tunesmith.report.legible import printable

    _, place = _open(to, address, storage)
    status = _latest(place, job)
    if not follow:
        click.echo(printable(place.logs(status.id, status.attempt)), nl=False)
        return
    try:
        status = go_on(
            place,
            job,
            status.attempt,
            lambda text: click.echo(printable(text), nl=False),
            partial(click.echo, err=True),
        )
    except KeyboardInterrupt:
        click.echo("\nthe job goes on without you", err=True)
        raise SystemExit(130) from None
    click.echo(f"{job}: {status.state} {status.message if status.state != 'succeeded' else ''}".rstrip(), err=True)
    code = status.exit_code or 1
    raise SystemExit(0 if status.state == "succeeded" else code if 0 < code < 256 else 1)


@command.command()
@click.argument("job")
@target_options
def stop(job: str, to: str | None, address: str | None, storage: str | None) -> None:
    """Ask JOB to end; it writes a checkpoint first. `tunesmith submit` goes on with it.

    \b
    Example:
      tunesmith jobs stop summaries-3f2a9c81d0e4 --to lab
    """
    _, place = _open(to, address, storage)
    status = _latest(place, job)
    if status.is_over:
        click.echo(f"{job} is over: {status.state}", err=True)
        return
    place.stop(status.id, status.attempt)
    click.echo(f"{job} was asked to stop", err=True)


@command.command()
@click.argument("job")
@target_options
@as_json
def fetch(job: str, to: str | None, address: str | None, storage: str | None, as_json: bool) -> None:
    """Bring the version of JOB into the registry here; needs its storage, and the cluster no more.

    \b
    Example:
      tunesmith jobs fetch summaries-3f2a9c81d0e4 --to lab
    """
    from tunesmith.cluster import fetch as fetching
    from tunesmith.cluster.storage import Storage
    from tunesmith.cluster.submit import storage_of
    from tunesmith.store.home import find_home

    where = Storage(storage) if storage is not None else storage_of(_target(to, address, storage))
    version, folder = fetching.fetch(job, where, find_home())
    if as_json:
        print_json({"job": job, "version": version.to_json(), "report": str(folder / "report.html")})
    else:
        click.echo(f"{version.reference} ({version.verdict}), report: {folder / 'report.html'}")


def _target(to: str | None, address: str | None, storage: str | None) -> Target:
    from tunesmith.cluster.targets import find_target

    return find_target(to, address, storage)


def _open(to: str | None, address: str | None, storage: str | None) -> tuple[Target, RayPlace]:
    from tunesmith.cluster.ray_place import RayPlace
    from tunesmith.cluster.tunnel import reached

    needs_httpx()
    target = click.get_current_context().with_resource(reached(_target(to, address, storage)))
    return target, RayPlace(target)


def _latest(place: RayPlace, job: str) -> JobStatus:
    from tunesmith.cluster.targets import TargetError
    from tunesmith.errors import did_you_mean

    known = place.jobs()
    mine = [one for one in known if one.id == job]
    if not mine:
        raise TargetError(f"there is no job '{job}'", fix=did_you_mean(job, {one.id for one in known}))
    return mine[-1]


def _when(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) if seconds else ""
