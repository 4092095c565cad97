"""The `method` section: how weights are changed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunesmith.recipe.section import Section


class MethodSection(Section):
    """Low-rank adapters on frozen base weights (Hu et al. 2021, arXiv:2106.09685)."""

    type: Literal["lora"] = "lora"

    rank: int = Field(16, ge=1, le=512)
    """Inner dimension r of the update B·A. vLLM serves 1, 8, 16, 32, 64, 128, 256, 320, 512; others are padded."""

    alpha: float = Field(32.0, gt=0)
    """The update is scaled by alpha / rank, or alpha / sqrt(rank) with `rslora`."""

    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of an adapter's inputs zeroed during training."""

    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the layers that get an adapter, such as `q_proj`; `all-linear` is every linear layer but the head."""

    rslora: bool = False
    """Rank-stabilised scaling, better at ranks of 64 and more (Kalajdzievski 2023, arXiv:2312.03732)."""

    dora: bool = False
    """Weight-decomposed adapters (Liu et al. 2024, arXiv:2402.09353). vLLM cannot serve them as adapters."""
