"""A vLLM engine as a Serve deployment. Everything that is private in Ray's LLM library is touched in this file alone.

A contract test (tests/integration/test_serve_contract.py) holds what is relied on: where the engine keeps vLLM's client
and its models, and that an application of our own may stand before vLLM's.
"""

from __future__ import annotations

import asyncio
import os
import secrets
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
from tunesmith.serve.fast import Fast
from tunesmith.serve.gate import Gate
from tunesmith.serve.hardware import cluster_has_gpus
from tunesmith.serve.parity import Proof
from tunesmith.serve.problem import Problem
from tunesmith.serve.spec import TOKEN, EngineSpec, engine_token
from tunesmith.serve.versions import Versions

CPU_LORA = "tunesmith.serve.cpu_lora.CpuLora"

REPLICA_CPUS = 0.1
"""What Serve sets aside for the process that speaks HTTP; the engine's own share is its bundle's."""

PASSED_ON = (
    TOKEN, "TUNESMITH_HOME", "TUNESMITH_DATABASE_URL", "TUNESMITH_ARTIFACTS", "HF_HUB_OFFLINE", "HF_TOKEN", "HF_HOME",
    "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
    "AWS_DEFAULT_REGION",
)  # fmt: skip
"""Environment variables of the process that starts the application that replicas need too."""


class EngineServer(LLMServer):
    """Ray's LLM server with registered versions as adapters, answering HTTP by itself."""

    async def __init__(self, llm_config: LLMConfig, spec: dict[str, Any]) -> None:
        self._spec = EngineSpec.model_validate(spec)
        self._token, self._gate = engine_token(), Gate()
        self._adapters = Adapters(
            self._spec.settings.max_adapters_kept, self._load_version, self._unload_version, self._spec.model
        )
        self._versions = Versions(self._spec)
        if self._spec.version is not None:
            # Where this replica runs: the files that the plan was made from may be another machine's.
            own = await asyncio.to_thread(self._versions.find, self._spec.version)
            llm_config.model_loading_config.model_source = str(own.folder)
        await super().__init__(llm_config)
        self._fast = Fast(
            self._spec.model, Path(self._spec.weights), self._versions.scratch, self, self._adapters, self._gate,
            self._versions.find, self._versions.aim,
        )  # fmt: skip
        if self._spec.fast is not None:
            self._following = asyncio.get_running_loop().create_task(self._fast.follow())

    async def __serve_build_asgi_app__(self) -> EngineApp:
        """vLLM's own application, which parses, templates and streams, behind ours."""
        app = await self.engine.build_asgi_app()
        return EngineApp(
            app, self._adapters, self._gate, self._token, self._spec.route, self._spec.model, self._fast.to_json
        )

    async def check_health(self) -> None:
        """Serve asks, and starts another replica in the place of one whose weights nobody knows."""
        if self._gate.is_shut:
            raise RuntimeError("the weights could not be changed, and nobody knows what they are")
        await super().check_health()

    @property
    def dtype(self) -> str:
        """The type it computes in."""
        return str(self.engine._engine_client.model_config.dtype).removeprefix("torch.")

    async def reload(self, weights: Path, name: str) -> None:
        """Take other weights in the place of those in memory; who has no adapter is then called `name`."""
        from vllm.entrypoints.openai.models.protocol import BaseModelPath

        client, models = self.engine._engine_client, self.engine._oai_models
        await client.pause_generation(mode="wait", clear_cache=True)
        await client.collective_rpc("reload_weights", kwargs={"weights_path": str(weights)})
        models.lora_requests.clear()
        models.base_model_paths[0] = BaseModelPath(name=name, model_path=str(weights))
        await client.resume_generation()

    async def score(self, name: str, proof: Proof) -> list[float]:
        """Log-probabilities of an answer's tokens, read from one pass over prompt and answer."""
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt

        ids = proof.prompt + proof.answer
        answers = self.engine._engine_client.generate(
            TokensPrompt(prompt_token_ids=ids), SamplingParams(max_tokens=1, prompt_logprobs=0),
            f"proof-{secrets.token_hex(8)}", lora_request=self.engine._oai_models.lora_requests.get(name),
        )  # fmt: skip
        last = [answer async for answer in answers][-1]
        assert last.prompt_logprobs is not None
        places = range(len(proof.prompt), len(ids))
        return [last.prompt_logprobs[place][ids[place]].logprob for place in places]

    async def _load_version(self, reference: str) -> None:
        try:
            folder = await self._fast.files(reference)
            await self.engine.resolve_lora(
                DiskMultiplexConfig(
                    model_id=reference, max_total_tokens=None, local_path=str(folder), lora_assigned_int_id=1
                )
            )
        except (TunesmithError, ValueError) as error:
            raise Problem(503, f"{reference} cannot be loaded: {error}", "not_loaded") from error
        try:
            await self._fast.prove(reference)
        except Problem:
            await self._unload_version(reference)
            raise
        except TunesmithError as error:
            await self._unload_version(reference)
            raise Problem(503, f"{reference} cannot be compared: {error}", "not_loaded") from error

    async def _unload_version(self, reference: str) -> None:
        from vllm.entrypoints.serve.lora.protocol import UnloadLoRAAdapterRequest

        models = self.engine._oai_models
        request = models.lora_requests.get(reference)
        await models.unload_lora_adapter(UnloadLoRAAdapterRequest(lora_name=reference))
        if request is not None:
            await self.engine._engine_client.remove_lora(request.lora_int_id)


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
        "trust_request_chat_template": True,
        "enable_log_requests": False,
        # Compiling on a CPU takes minutes and gains little.
        **({} if on_gpu else {"enforce_eager": True, "worker_extension_cls": CPU_LORA}),
        **settings.vllm,
    }
    if spec.version is None:
        vllm |= {
            "enable_lora": True, "max_lora_rank": spec.max_rank, "max_loras": settings.max_adapters,
            "max_cpu_loras": settings.max_adapters_kept,
        }  # fmt: skip
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
        model_loading_config={"model_id": spec.model, "model_source": spec.weights},
        engine_kwargs=vllm,
        deployment_config=deployment,
        runtime_env={"env_vars": environment},
        experimental_configs={"stream_batching_interval_ms": 0},
        **placed,
    )
