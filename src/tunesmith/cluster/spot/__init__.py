"""Notices that a cloud is about to take a machine away, turned into Ray's drain: training checkpoints and moves before.

One file for each cloud, one dict of them all. `python -m tunesmith.cluster.spot CLOUD` runs on each worker node.
"""

from collections.abc import Callable

from tunesmith.cluster.spot import aws, azure, gcp
from tunesmith.cluster.spot.notice import Service

CLOUDS: dict[str, Callable[[str | None], Service]] = {
    "aws": aws.Aws,
    "gcp": gcp.Gcp,
    "azure": azure.Azure,
}
"""Cloud -> its metadata service, made from another address than the usual one or None."""
