"""The recipe: one YAML file, everything from data to registered version."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunesmith.recipe.budget import BudgetSection
from tunesmith.recipe.data import DataSection
from tunesmith.recipe.demand import DemandSection
from tunesmith.recipe.evaluate import EvaluateSection
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection
from tunesmith.recipe.monitor import MonitorSection
from tunesmith.recipe.resources import ResourcesSection
from tunesmith.recipe.retrain import RetrainSection
from tunesmith.recipe.section import Section
from tunesmith.recipe.serve import ServeSection
from tunesmith.recipe.sweep import SweepSection
from tunesmith.recipe.tracking import TrackingSection
from tunesmith.recipe.train import TrainSection


class Recipe(Section):
    """One fine-tune, from rows of examples to a measured, registered version."""

    beside: ClassVar[tuple[str, ...]] = ("serve", "monitor", "retrain")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    """Name the versions are registered under: lower-case letters, digits, dots, dashes, underscores."""

    model: ModelSection
    """The base model."""

    data: DataSection
    """Rows of examples and what to do with them."""

    method: MethodSection = MethodSection()
    """How weights are changed."""

    train: TrainSection = TrainSection()
    """The training loop."""

    evaluate: EvaluateSection = EvaluateSection()
    """The comparison with the base model and the best prompt."""

    resources: ResourcesSection = ResourcesSection()
    """Workers and what each of them gets."""

    budget: BudgetSection = BudgetSection()
    """What the run may cost."""

    tracking: TrackingSection = TrackingSection()
    """Where metrics are mirrored."""

    demand: DemandSection | None = None
    """How much the model will be asked: weighs the fine-tune against a longer prompt in `tunesmith plan`."""

    sweep: SweepSection | None = None
    """Settings to try many values of, for `tunesmith sweep`."""

    serve: ServeSection | None = None
    """The endpoint of `tunesmith serve`; every setting has a default."""

    monitor: MonitorSection | None = None
    """What is written down of traffic and when it counts as changed; without it no text is kept."""

    retrain: RetrainSection | None = None
    """When to train again and what a new version must show, for `tunesmith retrain`."""

    @property
    def base(self) -> ModelSection:
        """The base model as it is trained and evaluated: a `dtype` left open is what `train.precision` asks for."""
        if self.model.dtype != "auto":
            return self.model
        return self.model.model_copy(update={"dtype": self.train.precision})
