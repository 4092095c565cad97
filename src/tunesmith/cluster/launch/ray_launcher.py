"""Run Ray's own launcher, the one that is installed beside this package."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tunesmith.cluster.launch.file import ClusterError

NEEDS = {"aws": "boto3", "gcp": "googleapiclient", "azure": "azure.mgmt.compute", "local": None}
"""Provider -> the module that Ray's launcher talks to its API with."""

INSTALL = {
    "aws": "pip install 'tunesmith[train,aws]'",
    "gcp": "pip install 'tunesmith[train,gcp]'",
    "azure": "pip install azure-cli-core azure-identity azure-mgmt-compute azure-mgmt-network azure-mgmt-resource",
}


def check_launcher(provider: str) -> None:
    """Refuse where Ray or the cloud's library is not installed. Raises ClusterError."""
    if find_spec("ray") is None:
        raise ClusterError(
            "starting and ending clusters is done by Ray's launcher, and ray is not installed",
            fix="pip install 'tunesmith[train]'",
        )
    module = NEEDS[provider]
    if module is not None and not _is_installed(module):
        raise ClusterError(
            f"Ray's launcher needs {module} for {provider}, which is not installed", fix=INSTALL[provider]
        )


def run_launcher(verb: str, path: Path) -> int:
    """`ray up` or `ray down` of a file; everything it says goes to standard error. Returns its exit status."""
    command = [sys.executable, "-m", "ray.scripts.scripts", verb, "--yes", str(path)]
    if verb == "up":
        command.insert(-1, "--no-config-cache")  # what it found last time, in another account or region
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno()).returncode


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
