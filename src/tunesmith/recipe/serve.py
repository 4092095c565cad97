"""The `serve` section: engines, endpoint, limits."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tunesmith.recipe.section import Section

OURS = ("model", "served_model_name", "max_model_len", "max_num_seqs", "max_loras", "max_cpu_loras", "max_lora_rank",
        "enable_lora", "dtype", "tensor_parallel_size", "trust_remote_code", "trust_request_chat_template", "api_key",
        "chat_template", "enable_prompt_embeds", "allowed_local_media_path", "worker_extension_cls")  # fmt: skip
"""Arguments of vLLM that other fields set, or that would open what requests must not open."""


class AutoscaleSection(Section):
    """As many engines as the traffic needs."""

    min_replicas: int = Field(1, ge=0)
    """Engines that stay up."""

    max_replicas: int = Field(4, ge=1)
    """Engines at most."""

    requests_per_replica: float = Field(8.0, gt=0)
    """Requests in flight that one engine should have."""

    @model_validator(mode="after")
    def _in_order(self) -> AutoscaleSection:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas ({self.min_replicas}) is above max_replicas ({self.max_replicas})")
        return self


class EngineSection(Section):
    """A vLLM engine: the base model and the adapters on it."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where it runs; `auto` takes GPUs where the cluster has some."""

    tensor_parallel: int = Field(1, ge=1)
    """GPUs that share one copy of the model."""

    replicas: int = Field(1, ge=1)
    """Copies of the engine."""

    autoscale: AutoscaleSection | None = None
    """In place of `replicas`: as many as the traffic needs."""

    max_model_len: int | None = Field(None, ge=16)
    """Longest prompt and answer together, in tokens; the model's own limit if left out."""

    max_sequences: int = Field(16, ge=1)
    """Answers generated at the same time."""

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Type the model computes in; `auto` is the one its weights are saved in, and float32 on a CPU without instructions
    for 16 bits."""

    max_adapters: int = Field(4, ge=1)
    """Adapters that take part in one batch. Each needs memory for the largest rank, used or not."""

    max_adapters_kept: int = Field(16, ge=1)
    """Adapters that stay in memory; the one unused for longest makes room."""

    max_rank: Literal[8, 16, 32, 64, 128, 256, 320, 512] | None = None
    """Largest rank of an adapter; if left out, that of the served names' largest, at least 16."""

    kv_cache_gib: float = Field(1.0, gt=0)
    """Memory for keys and values on a CPU, in GiB. On a GPU, set `gpu_memory_utilization` in `vllm`."""

    vllm: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of vLLM's engine, by their own names: `enforce_eager: true`."""

    @model_validator(mode="after")
    def _fits(self) -> EngineSection:
        if taken := sorted(set(self.vllm) & set(OURS)):
            raise ValueError(f"vllm.{taken[0]} is set by a field of its own, or is not offered")
        if self.max_adapters_kept < self.max_adapters:
            raise ValueError(
                f"max_adapters_kept ({self.max_adapters_kept}) is below max_adapters ({self.max_adapters})"
            )
        return self


class LimitsSection(Section):
    """What one request may ask for."""

    body_mib: float = Field(2.0, gt=0)
    """Size of a request, in MiB."""

    max_answer_tokens: int | None = Field(None, ge=1)
    """Longest answer, in tokens, also for a request that names none; if left out, what the engine has room for."""

    max_choices: int = Field(8, ge=1)
    """Answers to one request (`n`)."""

    timeout_seconds: float = Field(600.0, gt=0)
    """A request that takes longer is ended."""


class ServeSection(Section):
    """Versions behind an endpoint that any OpenAI client can use."""

    names: tuple[str, ...] = ()
    """Registered names whose versions are served, besides the recipe's own."""

    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback needs API keys."""

    port: int = Field(8000, ge=1, le=65535)
    """Port of the endpoint."""

    keys: Literal["auto", "required", "off"] = "auto"
    """Whether requests need an API key. `auto`: not on loopback while there is none. `off`: only on loopback."""

    parity: Literal["required", "off"] = "required"
    """Whether a version is compared with the trainer's model before it gets traffic; needs memory for a second copy."""

    fast: str | None = None
    """A served name, or an alias of one (`summaries@champion`), whose version is merged into the engine's weights: it
    answers as fast as the base. The others become adapters of up to twice the rank, and are slower for it."""

    gateways: int = Field(1, ge=1)
    """Copies of the process that checks, routes and limits requests."""

    usd_per_hour: float | None = Field(None, ge=0)
    """What the engines cost, all together; with it `tunesmith monitor` says what a thousand requests cost."""

    engine: EngineSection = EngineSection()
    """The engine of the base model."""

    limits: LimitsSection = LimitsSection()
    """What one request may ask for."""
