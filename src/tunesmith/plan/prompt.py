"""Prompt or fine-tune: what a month of answers costs either way, and when the training has paid for itself."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from tunesmith.plan.money import Price
from tunesmith.recipe.demand import DemandSection

HOURS_PER_MONTH = 730
"""365 x 24 / 12: a machine that serves does so day and night."""

MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class PromptOrTune:
    """US dollars a month by the best prompt and by the tuned model, and of the training.

    `break_even_months` is None where the tuned model saves nothing; `break_even_requests` are all requests until then.
    `year_requests_per_month` is the demand from which on the training pays within a year, None where none does.
    """

    requests_per_month: int
    prompt_usd: Decimal
    tuned_usd: Decimal
    training_usd: Decimal
    break_even_months: float | None
    break_even_requests: int | None
    year_requests_per_month: int | None
    served_by: str

    @property
    def saving_usd(self) -> Decimal:
        """A month, once tuned; negative where prompting is cheaper."""
        return self.prompt_usd - self.tuned_usd

    def to_json(self) -> dict[str, Any]:
        """Plain values, amounts as text."""
        return {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> PromptOrTune:
        """What `to_json` wrote."""
        amounts = {name: Decimal(values[name]) for name in ("prompt_usd", "tuned_usd", "training_usd")}
        return cls(**{**values, **amounts})


def weigh(demand: DemandSection, training_usd: Decimal, machine: Price | None = None) -> PromptOrTune:
    """Compare both ways; `machine` is the price of `demand.machine` where the tuned model is served on one.

    With p and t dollars a request by prompt and by tuned model, f dollars a month of machines, and C of training, r
    requests a month have paid after C / (r (p - t) - f) months.
    """
    prompted = _request(
        demand.prompt_tokens + demand.few_shot_tokens, demand.answer_tokens,
        demand.usd_per_million_input, demand.usd_per_million_output,
    )  # fmt: skip
    fixed, tuned = Decimal(0), Decimal(0)
    if machine is not None:
        fixed = machine.usd_per_hour * HOURS_PER_MONTH * demand.machines
    else:
        read, written = demand.tuned_usd_per_million_input, demand.tuned_usd_per_million_output
        tuned = _request(
            demand.prompt_tokens, demand.answer_tokens,
            demand.usd_per_million_input if read is None else read,
            demand.usd_per_million_output if written is None else written,
        )  # fmt: skip
    saved = prompted - tuned
    monthly = demand.requests_per_month * saved - fixed
    months = float(training_usd / monthly) if monthly > 0 else None
    served = f"{demand.machines} x {demand.machine}" if machine is not None else "by the token"
    return PromptOrTune(
        requests_per_month=demand.requests_per_month,
        prompt_usd=demand.requests_per_month * prompted,
        tuned_usd=demand.requests_per_month * tuned + fixed,
        training_usd=training_usd,
        break_even_months=months,
        break_even_requests=math.ceil(months * demand.requests_per_month) if months is not None else None,
        year_requests_per_month=math.ceil((training_usd / 12 + fixed) / saved) if saved > 0 else None,
        served_by=served,
    )


def _request(read: float, written: float, usd_in: float, usd_out: float) -> Decimal:
    """Dollars of one request."""
    return (Decimal(str(read)) * Decimal(str(usd_in)) + Decimal(str(written)) * Decimal(str(usd_out))) / MILLION
