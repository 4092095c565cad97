"""How long training stands still for checkpoints that go to a slow object store, and what a cut upload leaves.

    python benchmarks/checkpoint_stall.py           two minutes on two cores
    python benchmarks/checkpoint_stall.py --quick   half of the steps, one cut

A Llama of 150,000 random weights is trained with adapters of rank 128, whose checkpoints are 4.7 MB, into a real S3
server (moto, a process of its own) behind a link of 1.5 MB/s. A loop that waited for each upload would lose what the
uploads took: that is what the stall is compared with. The last checkpoint, written when training has ended, counts for
neither. Then the training process is killed with SIGKILL in the middle of
uploads, over a link of 4 MB/s; each time the newest checkpoint is read whole, and the run, ended without a kill, is
compared with one that was never disturbed. Exits 1 where the stall is 2 % or more, or a checkpoint is unreadable.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from safetensors.numpy import load_file

from tests.integration.slow_link import SlowLink
from tests.ready import ready_processes, with_environment
from tests.unit.train import killable, tiny
from tunesmith.train import checkpoint
from tunesmith.train.job import CHECKPOINTS, TrainJob
from tunesmith.train.loop import Loop
from tunesmith.train.places import Place, open_place
from tunesmith.train.sinks import read_events

BUCKET = "stall"
SLOW, LESS_SLOW = 1.5e6, 4e6
SIZE = 4.7e6
"""Bytes of a checkpoint."""
LIMIT, TOLERANCE = 0.02, 1e-5


@contextmanager
def s3_server(log: Path) -> Iterator[int]:
    """An S3 server with an empty bucket, and `AWS_*` set for this process and its children; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
    os.environ |= {**keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_EC2_METADATA_DISABLED": "true"}
    with log.open("wb") as output:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError):
                request = urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")
                urllib.request.urlopen(request, timeout=10).close()
                break
            if time.monotonic() > deadline or server.poll() is not None:
                raise RuntimeError(f"the S3 server did not start:\n{log.read_text()}")
            time.sleep(0.2)
        yield port
    finally:
        server.kill()
        server.wait()


class Runs:
    """Runs of one model and its rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = tiny.write_model(folder / "model")
        parts = {"train": tiny.make_rows(1, 13, weighted=True), "validation": tiny.make_rows(2, 3, weighted=True)}
        self.rows = tiny.write_dataset(folder / "rows", **parts)

    def job(self, name: str, epochs: int, every: int, in_bucket: bool = True) -> TrainJob:
        """A run whose checkpoints go to the bucket, or into its folder."""
        train = {"epochs": epochs, "batch_size": 4, "checkpoint_every": every, "eval_every": 4 * epochs}
        resources = {"checkpoints": f"s3://{BUCKET}/runs"} if in_bucket else {}
        job: TrainJob = tiny.make_job(
            self.folder / name, self.model, self.rows, train, resources=resources, method={"rank": 128, "alpha": 8.0}
        )
        return job


def stall(runs: Runs, port: int, epochs: int) -> dict[str, Any]:
    """Train over the slow link; what the run's own record says of its steps and checkpoints."""
    with SlowLink(port, SLOW) as link:
        os.environ["AWS_ENDPOINT_URL"] = link.url
        job = runs.job("slow", epochs, 20)
        Loop(job).run()
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
    events = list(read_events(job.folder))
    steps = [event for event in events if event["event"] == "step"]
    written = [event for event in events if event["event"] == "checkpoint"]
    # The last one is written when training has ended.
    return {
        "training_seconds": round(sum(event["seconds"] for event in steps), 2),
        "stalled_seconds": round(sum(event["stalled_seconds"] for event in steps), 4),
        "upload_seconds": round(sum(event["seconds"] for event in written[:-1]), 2),
        "checkpoints": len(written),
        "failed": sum(bool(event["problem"]) for event in written),
    }


def cuts(runs: Runs, port: int, times: int) -> dict[str, Any]:
    """Kill training in the middle of uploads, then let it end; compare it with a run that was left alone."""
    whole, job = runs.job("whole", 30, 10, in_bucket=False), runs.job("cut", 30, 10)
    Loop(whole).run()
    place = open_place(job.folder / CHECKPOINTS, job.load_recipe().resources.checkpoints)
    in_the_middle = unreadable = 0
    with SlowLink(port, LESS_SLOW) as link:
        os.environ["AWS_ENDPOINT_URL"] = link.url
        for _ in range(times):
            sent, before = _killed(job, link), len(_checkpoints(job))
            in_the_middle += sent > (len(_checkpoints(job)) - before) * SIZE + SIZE / 10
            unreadable += not _is_readable(place)
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
    Loop(job).run()
    found, wanted = (load_file(next(one.artefact.glob("*.safetensors"))) for one in (job, whole))
    difference = max(float(abs(found[name] - tensor).max()) for name, tensor in wanted.items())
    return {"kills": times, "in_an_upload": in_the_middle, "unreadable": unreadable, "largest_difference": difference}


def _killed(job: TrainJob, link: SlowLink) -> int:
    """Train in a process and kill it when its second upload has begun; the bytes that were on their way."""
    here, there = ready_processes().Pipe()
    arguments = (dict(os.environ), killable.train, job.to_json(), there)
    child = ready_processes().Process(target=with_environment, args=arguments)
    child.start()
    here.recv()
    before = link.sent
    while child.is_alive() and link.sent < before + 1.3 * SIZE:
        time.sleep(0.01)
    child.kill()
    child.join()
    return link.sent - before


def _checkpoints(job: TrainJob) -> list[dict[str, Any]]:
    return [event for event in read_events(job.folder) if event["event"] == "checkpoint"]


def _is_readable(place: Place) -> bool:
    newest = place.steps()[-1]
    progress, _ = checkpoint.read(place, newest)
    return bool(progress.step == newest)


def main() -> None:
    """Print the machine, both parts in sentences, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="half of the steps, one cut")
    quick = parser.parse_args().quick
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("torch", "pyarrow", "moto")), flush=True)
    with tempfile.TemporaryDirectory(prefix="tunesmith-stall-") as scratch:
        runs = Runs(Path(scratch))
        with s3_server(Path(scratch) / "server.log") as port:
            found = stall(runs, port, 40 if quick else 80)
            share = found["stalled_seconds"] / found["training_seconds"]
            waiting = found["upload_seconds"] / found["training_seconds"]
            print(
                f"{found['checkpoints']} checkpoints of {SIZE / 1e6} MB over {SLOW / 1e6} MB/s: of "
                f"{found['training_seconds']:.1f} s of steps training stood still for {share:.2%}; uploads took "
                f"{found['upload_seconds']:.1f} s beside it ({waiting:.0%}), {found['failed']} failed",
                flush=True,
            )
            cut = cuts(runs, port, 1 if quick else 4)
    print(
        f"{cut['kills']} kills, {cut['in_an_upload']} of them in the middle of an upload: the checkpoint before was "
        f"unreadable {cut['unreadable']} times; weights at the end differ by {cut['largest_difference']:.1e}"
    )
    print(json.dumps({"stalled_share": round(share, 5), "upload_share": round(waiting, 3), **found, **cut}))
    good = share < LIMIT and not cut["unreadable"] and not found["failed"] and cut["largest_difference"] < TOLERANCE
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
