"""How answers are judged: scales, how many people see each item, and what is mixed in among the items."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from tunesmith.recipe.section import Section
from tunesmith.recipe.section_file import read_section


class Scale(Section):
    """One question about an answer, with a whole number for an answer."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """What it is called in results: lower-case letters, digits, underscores."""

    question: str = Field("", max_length=200)
    """What the rater is asked; the name if left out."""

    low: int = Field(1, ge=0, le=9)
    """The worst."""

    high: int = Field(5, ge=1, le=9)
    """The best. All can be typed with one key."""

    low_label: str = Field("bad", max_length=40)
    """What the worst means."""

    high_label: str = Field("good", max_length=40)
    """What the best means."""

    @model_validator(mode="after")
    def _goes_up(self) -> Scale:
        if self.low >= self.high:
            raise ValueError(f"a scale from {self.low} to {self.high} does not go up", "give low the smaller number")
        return self

    @property
    def values(self) -> range:
        """The numbers that may be given."""
        return range(self.low, self.high + 1)


class Rubric(Section):
    """How the answers of one name are judged."""

    instructions: str = Field("", max_length=4000)
    """Shown above every item."""

    scales: tuple[Scale, ...] = (
        Scale(name="correctness", question="Is it right?", low_label="wrong", high_label="right"),
        Scale(name="helpfulness", question="Does it help?", low_label="useless", high_label="all one needs"),
        Scale(name="style", question="Is it well written?", low_label="poorly", high_label="very well"),
    )
    """Scales for a single answer."""

    scales_on_pairs: bool = False
    """Ask the scales of both answers of a pair, too, besides which is better."""

    raters: int = Field(2, ge=1, le=20)
    """People who see each item. Where they disagree, one more does."""

    random_share: float = Field(0.25, ge=0, le=1)
    """Share of items that are drawn at random instead of those that tell most."""

    gold_share: float = Field(0.1, ge=0, le=0.5)
    """Share of items for which the right judgement is known, put in among the others to check raters."""

    @model_validator(mode="after")
    def _distinct(self) -> Rubric:
        names = [scale.name for scale in self.scales]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"scale '{twice}' is there twice", "give each scale a name of its own")
        return self


def read_rubric(path: Path) -> Rubric:
    """Read a YAML or JSON file. Raises RecipeError naming every wrong line."""
    return read_section(path, Rubric, "a rubric", "see docs/review.md")
