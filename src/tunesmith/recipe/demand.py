"""The `demand` section: how much the model will be asked, to weigh a fine-tune against a longer prompt."""

from __future__ import annotations

from pydantic import Field, model_validator

from tunesmith.recipe.section import Section


class DemandSection(Section):
    """Requests to come and what they cost, for `tunesmith plan`."""

    requests_per_month: int = Field(ge=1)
    """How many answers are asked for in a month."""

    prompt_tokens: float = Field(gt=0)
    """Tokens of a request that both ways need: the question itself."""

    few_shot_tokens: float = Field(ge=0)
    """Tokens that only the prompted model needs on top: instructions and examples."""

    answer_tokens: float = Field(gt=0)
    """Tokens of an answer."""

    usd_per_million_input: float = Field(ge=0)
    """What the prompted model's provider charges for a million tokens read."""

    usd_per_million_output: float = Field(ge=0)
    """The same for a million tokens written."""

    tuned_usd_per_million_input: float | None = Field(None, ge=0)
    """What the tuned model's host charges for a million tokens read; by default the same."""

    tuned_usd_per_million_output: float | None = Field(None, ge=0)
    """The same for a million tokens written."""

    machine: str | None = None
    """A machine that serves the tuned model all month, such as `aws:g5.xlarge`, instead of prices by the token."""

    machines: int = Field(1, ge=1)
    """How many of them."""

    @model_validator(mode="after")
    def _one_way_to_serve(self) -> DemandSection:
        by_token = self.tuned_usd_per_million_input is not None or self.tuned_usd_per_million_output is not None
        if self.machine is not None and by_token:
            raise ValueError("give 'machine' or prices by the token for the tuned model, not both", "leave one out")
        if self.machine is None and self.machines != 1:
            raise ValueError("'machines' has no effect without 'machine'", "leave it out, or name the machine")
        return self
