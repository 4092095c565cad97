"""The `method` section: which weights are changed, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tunesmith.recipe.section import Section

ADAPTER_FIELDS = ("rank", "alpha", "dropout", "targets", "rslora", "dora")
OF_TYPE = {
    "lora": ADAPTER_FIELDS,
    "qlora": (*ADAPTER_FIELDS, "quantisation", "double_quantisation"),
    "full": ("layers",),
}
"""The fields that have an effect, for each type."""


class MethodSection(Section):
    """Which weights are changed: adapters beside frozen weights, or the weights themselves."""

    type: Literal["lora", "qlora", "full"] = "lora"
    """`lora`: low-rank adapters on frozen base weights (Hu et al. 2021, arXiv:2106.09685). `qlora`: the same on base
    weights of 4 or 8 bits (Dettmers et al. 2023, arXiv:2305.14314). `full`: the weights themselves."""

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

    quantisation: Literal["nf4", "int8"] = "nf4"
    """How `qlora` keeps the base weights: 4-bit normal floats, or 8-bit integers with outliers apart
    (Dettmers et al. 2022, arXiv:2208.07339)."""

    double_quantisation: bool = True
    """Quantise the scales of `nf4` too: 0.4 bits less for each weight."""

    layers: Literal["all"] | tuple[str, ...] = "all"
    """What `full` trains: parts of the weights' names, such as `layers.29.` or `lm_head`; the others stay frozen."""

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> MethodSection:
        for name, field in type(self).model_fields.items():
            if name != "type" and name not in OF_TYPE[self.type] and getattr(self, name) != field.default:
                kinds = " or ".join(kind for kind, names in OF_TYPE.items() if name in names)
                raise ValueError(
                    f"'{name}' has no effect with type: {self.type}", f"leave it out, or set type: {kinds}"
                )
        if self.quantisation != "nf4" and not self.double_quantisation:
            raise ValueError("'double_quantisation' has no effect with quantisation: int8", "leave it out")
        return self

    @property
    def rounding(self) -> str | None:
        """What is done to the base's weights before they are trained beside, in a word; None for nothing."""
        if self.type != "qlora":
            return None
        return "nf4-double" if self.quantisation == "nf4" and self.double_quantisation else self.quantisation

    @property
    def has_adapter(self) -> bool:
        """Whether what comes out is an adapter, not whole weights."""
        return self.type != "full"
