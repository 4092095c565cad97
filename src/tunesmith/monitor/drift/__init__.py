"""Data drift: whether what is asked is still what was trained on."""

from tunesmith.monitor.drift.state import DriftState
from tunesmith.monitor.drift.watch import DescriptorResult, DriftWindow, watch_drift

__all__ = ["DescriptorResult", "DriftState", "DriftWindow", "watch_drift"]
