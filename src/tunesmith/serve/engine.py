"""A vLLM engine as a Serve deployment. Everything that is private in Ray's LLM library is touched in this file alone.

A contract test (tests/integration/test_serve_contract.py) holds what is relied on: where the engine keeps vLLM's client
and its models, and that an application of our own may stand before vLLM's.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from ray import serve
from ray.llm._internal.serve.core.configs.llm_config import DiskMultiplexConfig
from ray.llm._internal.serve.core.server.builder import build_llm_deployment
from ray.serve.llm import LLMConfig
from ray.serve.llm.deployment import LLMServer

from tunesmith.errors import TunesmithError
from tunesmith.serve.adapters import Adapters
from tunesmith.serve.engine_app import EngineApp
from tunesmith.serve.problem import Problem
from tunesmith.serve.spec import TOKEN, EngineSpec, engine_token

REPLICA_CPUS = 0.1
"""What Serve sets aside for the process that speaks HTTP; the engine's own share is its bundle's."""

PASSED_ON = (
    TOKEN, "TUNESMITH_HOME", "TUNESMITH_DATABASE_URL", "TUNESMITH_ARTIFACTS", "HF_HUB_OFFLINE", "HF_TOKEN", "HF_HOME",
    "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION",
)  # fmt: skip
"""Environment variables of the process that starts the application that replicas need too."""


class EngineServer(LLMServer):
    """Ray's LLM server with registered versions as adapters, answering HTTP by itself."""

    async def __init__(self, llm_config: LLMConfig, spec: dict[str, Any]) -> None:
        self._spec = EngineSpec.model_validate(spec)
        self._token = engine_token()
        self._adapters = Adapters(self._spec.settings.max_adapters_kept, self._load_version, self._unload_version)
        await super().__init__(llm_config)

    async def __serve_build_asgi_app__(self) -> EngineApp:
        """vLLM's own application, which parses, templates and streams, behind ours."""
        app = await self.engine.build_asgi_app()
        return EngineApp(app, self._adapters, self._token, self._spec.route)

    async def _load_version(self, reference: str) -> None:
        try:
            folder = await asyncio.to_thread(fetch_version, reference)
            await self.engine.resolve_lora(
                DiskMultiplexConfig(
                    model_id=reference, max_total_tokens=None, local_path=str(folder), lora_assigned_int_id=1
                )
            )
        except (TunesmithError, ValueError) as error:
            raise Problem(503, f"{reference} cannot be loaded: {error}", "not_loaded") from error

    async def _unload_version(self, reference: str) -> None:
        from vllm.entrypoints.serve.lora.protocol import UnloadLoRAAdapterRequest

        models = self.engine._oai_models
        request = models.lora_requests.get(reference)
        await models.unload_lora_adapter(UnloadLoRAAdapterRequest(lora_name=reference))
        if request is not None:
            await self.engine._engine_client.remove_lora(request.lora_int_id)


def fetch_version(reference: str) -> Path:
    """A version's files on this machine, every one compared with its hash. Raises RegistryError or StoreError."""
    from tunesmith.registry.registry import Registry
    from tunesmith.store.home import find_home

    registry = Registry.open(find_home(), create=False)
    try:
        return registry.fetch(registry.resolve(reference))
    finally:
        registry.close()


def engine_application(spec: EngineSpec) -> Any:
    """The Serve application of an engine, to be run under `spec.route`."""
    config = llm_config(spec)
    return build_llm_deployment(
        config,
        deployment_cls=serve.ingress()(EngineServer),
        name_prefix="engine-",
        bind_kwargs={"spec": spec.model_dump(mode="json")},
    )


def llm_config(spec: EngineSpec) -> LLMConfig:
    """Ray's configuration of an engine."""
    settings = spec.settings
    on_gpu = settings.device == "gpu" or (settings.device == "auto" and cluster_has_gpus())
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    # Logs of Ray's or vLLM's kind must not hold what users write.
    environment |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if not on_gpu:
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, round(settings.kv_cache_gib)))
    vllm: dict[str, Any] = {
        "max_num_seqs": settings.max_sequences,
        "dtype": settings.dtype,
        "tensor_parallel_size": settings.tensor_parallel,
        "enable_lora": True,
        "max_lora_rank": spec.max_rank,
        "max_loras": settings.max_adapters,
        "max_cpu_loras": settings.max_adapters_kept,
        "trust_request_chat_template": True,
        "enable_log_requests": False,
        # Compiling on a CPU takes minutes and gains little.
        **({} if on_gpu else {"enforce_eager": True}),
        **settings.vllm,
    }
    if settings.max_model_len is not None:
        vllm["max_model_len"] = settings.max_model_len
    deployment: dict[str, Any] = {"ray_actor_options": {"num_cpus": REPLICA_CPUS}}
    if settings.autoscale is None:
        deployment["num_replicas"] = settings.replicas
    else:
        deployment["autoscaling_config"] = {
            "min_replicas": settings.autoscale.min_replicas,
            "max_replicas": settings.autoscale.max_replicas,
            "target_ongoing_requests": settings.autoscale.requests_per_replica,
        }
    placed: dict[str, Any] = (
        {} if on_gpu else {"accelerator_config": {"kind": "cpu"}, "placement_group_config": {"bundles": [{"CPU": 1}]}}
    )
    return LLMConfig(
        model_loading_config={"model_id": spec.model, "model_source": spec.source},
        engine_kwargs=vllm,
        deployment_config=deployment,
        runtime_env={"env_vars": environment},
        experimental_configs={"stream_batching_interval_ms": 0},
        **placed,
    )


def cluster_has_gpus() -> bool:
    """Whether the cluster that this process is connected to has GPUs."""
    import ray

    return ray.is_initialized() and ray.cluster_resources().get("GPU", 0) > 0
