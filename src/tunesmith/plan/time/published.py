"""Which share of a GPU's peak fine-tuning reaches, worked back from tokens a second that others have published."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

SHARE_OF_BANDWIDTH = 0.8
"""Of a data sheet's bandwidth that streaming kernels reach (STREAM on GPUs, Deakin et al. 2018,
doi:10.1504/IJCSE.2018.095847, finds 0.7 to 0.95)."""


@dataclass(frozen=True)
class Share:
    """The share of the dense 16-bit peak that the matrix products of a step reach while they run."""

    value: float
    date: date
    source: str


NEMO = "NeMo AutoModel performance summary: Llama3 8B LoRA, 12,473 tokens/s on one H100 at 4,096"
QWEN = "github.com/QwenLM/Qwen README: Qwen-7B LoRA with gradient checkpointing, 5.2 s for 8 x 2,048 on one A100"
# Compiled, which the loop here is not: it is not taken at its word, which would be a share of nine tenths.
TORCHTUNE = "github.com/pytorch/torchtune README: Llama 3.1 8B LoRA, compiled, 3,083 tokens/s on one 4090 at 2 x 2,048"

SHARES: dict[str, Share] = {
    "H100": Share(0.53, date(2026, 2, 1), NEMO),
    "H200": Share(0.53, date(2026, 2, 1), f"{NEMO}; taken for the H200, which has the same peak"),
    "A100": Share(0.52, date(2024, 1, 30), QWEN),
    "4090": Share(0.65, date(2024, 10, 1), TORCHTUNE),
}
"""A part of the accelerator's name -> its share. Tests compute the published rates from these."""

OTHERS = Share(0.45, date(2026, 11, 25), "no published run: somewhat under what is reached on an A100 or H100")


def share_of(accelerator: str) -> Share:
    """The share for an accelerator by its name."""
    return next((share for part, share in SHARES.items() if part in accelerator.upper()), OTHERS)
