"""The `tracking` section: where metrics are mirrored. JSONL is always written."""

from __future__ import annotations

from pydantic import Field

from tunesmith.recipe.section import Section


class MlflowSection(Section):
    """Mirror metrics to an MLflow server."""

    tracking_uri: str
    """Server or database, such as `http://localhost:5000`."""

    experiment: str = "tunesmith"
    """Experiment that runs are filed under."""


class WandbSection(Section):
    """Mirror metrics to Weights & Biases. The key comes from `WANDB_API_KEY`, never from the recipe."""

    project: str = "tunesmith"
    """Project that runs are filed under."""

    mode: str = Field("online", pattern="^(online|offline)$")
    """`offline` writes to disk for a later `wandb sync`."""


class TrackingSection(Section):
    """Sinks for metrics. A sink that fails is reported once and never stops a run."""

    mlflow: MlflowSection | None = None
    """MLflow server."""

    wandb: WandbSection | None = None
    """Weights & Biases."""
