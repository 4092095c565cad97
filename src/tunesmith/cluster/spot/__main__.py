"""`python -m tunesmith.cluster.spot CLOUD`: watches on one node until it is drained."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

from tunesmith.cluster.spot import CLOUDS
from tunesmith.cluster.spot.drain import check_ray, drain
from tunesmith.cluster.spot.watch import EVERY, log, watch
from tunesmith.errors import TunesmithError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("cloud", type=click.Choice(list(CLOUDS)))
@click.option("--address", envvar="RAY_ADDRESS", required=True, help="The cluster's head, HOST:PORT.")
@click.option("--metadata", help="Address of the metadata service, where it is not the cloud's own.")
@click.option("--node-ip", help="Address of this node in Ray, where it is not the machine's first.")
@click.option("--node", help="Id of this node in Ray, where several run on one machine.")
@click.option("--early", is_flag=True, help="Drain on a mere recommendation to move (AWS: rebalance), too.")
@click.option(
    "--every", type=click.FloatRange(min=0.1), default=EVERY, show_default=True, help="Seconds between looks."
)
def main(
    cloud: str, address: str, metadata: str | None, node_ip: str | None, node: str | None, early: bool, every: float
) -> None:
    """Drain this node when CLOUD says that it takes the machine away, so that training checkpoints and moves.

    \b
    Example:
      python -m tunesmith.cluster.spot aws --address 10.0.0.5:6379
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    check_ray()
    with lock_file(node or node_ip or "node").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another watcher is at work on this node")
            return
        log.info("watching %s for the node in the cluster at %s", cloud, address)
        watch(CLOUDS[cloud](metadata), partial(drain, address=address, ip=node_ip, node=node), early, every)


def lock_file(name: str) -> Path:
    """Where a watcher says that it is at work; `ray up` again starts a second one, which then leaves."""
    folder = Path(tempfile.gettempdir()) / f"tunesmith-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise TunesmithError("this folder belongs to somebody else", where=str(folder), fix="remove it")
    return folder / f"spot-{''.join(c for c in name if c.isalnum() or c in '.-')}.lock"


if __name__ == "__main__":
    try:
        main()
    except TunesmithError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None
