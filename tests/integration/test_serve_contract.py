"""What `serve/engine.py` relies on of Ray's and vLLM's insides: a release that moves it fails here, and says what."""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any

import pytest

from tests.services import missing


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    if importlib.util.find_spec("vllm") is None:
        missing("vLLM is not installed (make setup)")


def parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


def test_rays_server_starts_an_engine_and_takes_an_application_of_our_own() -> None:
    from ray.llm._internal.serve.core.server.builder import build_llm_deployment
    from ray.serve.llm.deployment import LLMServer

    assert {"llm_config", "deployment_cls", "name_prefix", "bind_kwargs"} <= parameters(build_llm_deployment)
    assert "llm_config" in parameters(LLMServer.__init__)
    assert inspect.iscoroutinefunction(LLMServer.__init__)
    assert hasattr(LLMServer, "__serve_build_asgi_app__")
    assert "self.engine = self._engine_cls(self._llm_config)" in inspect.getsource(LLMServer.start)


def test_rays_engine_keeps_vllms_client_and_models() -> None:
    from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine

    made = inspect.getsource(VLLMEngine.__init__)
    assert "self._engine_client = None" in made and "self._oai_models" in made
    assert parameters(VLLMEngine.resolve_lora) == {"self", "disk_lora_model"}
    assert inspect.iscoroutinefunction(VLLMEngine.build_asgi_app)


def test_an_adapter_is_described_as_before() -> None:
    from ray.llm._internal.serve.core.configs.llm_config import DiskMultiplexConfig

    made = DiskMultiplexConfig(model_id="story@1", max_total_tokens=None, local_path="/adapter", lora_assigned_int_id=1)
    assert (made.model_id, made.local_path) == ("story@1", "/adapter")


def test_vllm_loads_and_lets_go_of_adapters_by_name() -> None:
    from vllm.entrypoints.openai.models.serving import OpenAIServingModels
    from vllm.entrypoints.serve.lora.protocol import UnloadLoRAAdapterRequest
    from vllm.v1.engine.async_llm import AsyncLLM

    assert "self.lora_requests" in inspect.getsource(OpenAIServingModels.__init__)
    assert "request" in parameters(OpenAIServingModels.unload_lora_adapter)
    assert UnloadLoRAAdapterRequest(lora_name="story@1").lora_name == "story@1"
    assert parameters(AsyncLLM.remove_lora) == {"self", "lora_id"}


def test_vllm_takes_other_weights_while_it_runs() -> None:
    from vllm.entrypoints.openai.models.protocol import BaseModelPath
    from vllm.entrypoints.openai.models.serving import OpenAIServingModels
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    assert {"mode", "clear_cache"} <= parameters(AsyncLLM.pause_generation)
    assert "weights_path" in parameters(GPUModelRunner.reload_weights)
    assert "self.reset_lora_state()" in inspect.getsource(GPUModelRunner.reload_weights)
    assert "self.base_model_paths[0].name" in inspect.getsource(OpenAIServingModels.model_name)
    assert BaseModelPath(name="story@1", model_path="/weights").name == "story@1"


def test_tokens_without_an_adapter_are_left_alone_on_a_cpu() -> None:
    import torch
    from vllm.lora.ops.torch_ops import bgmv_expand, bgmv_shrink

    from tunesmith.serve.cpu_lora import expand, groups_of, shrink

    torch.manual_seed(0)
    down, up = torch.randn(2, 1, 4, 6), torch.randn(2, 1, 5, 4)
    x, slots = torch.randn(7, 6), torch.tensor([0, 1, 1, -1, 0, -1, 1])

    def ours(slots: Any) -> Any:
        between, y = torch.zeros(len(slots), 4), torch.zeros(len(slots), 8)
        shrink(between, x, down, groups_of(slots), 0.5)
        expand(y, between, up, groups_of(slots), 2, 5)
        return y

    def theirs(slots: Any) -> Any:
        between, y = torch.zeros(len(slots), 4), torch.zeros(len(slots), 5)
        bgmv_shrink(x, down, between, slots, 0.5)
        bgmv_expand(between, up, y, slots)
        return y

    found = ours(slots)
    assert found[slots < 0].abs().max() == 0 and found[:, :2].abs().max() == 0 and found[:, 7:].abs().max() == 0
    torch.testing.assert_close(found[slots >= 0, 2:7], theirs(slots)[slots >= 0])
    torch.testing.assert_close(ours(torch.ones(7, dtype=torch.long))[:, 2:7], theirs(torch.ones(7, dtype=torch.long)))
    # Why it is there. Where this fails, vLLM has mended it, and `serve/cpu_lora.py` may go if it is as fast.
    assert theirs(slots)[slots < 0].abs().max() > 0


def test_vllm_takes_the_request_id_and_the_template_that_the_gateway_sends() -> None:
    from vllm.entrypoints.launchers.cli_args import FrontendArgs
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    from tunesmith.serve.ask import CHAT, COMPLETION, OURS

    assert "trust_request_chat_template" in FrontendArgs.__dataclass_fields__
    assert {"chat_template", "return_token_ids"} <= set(ChatCompletionRequest.model_fields)
    known = set(ChatCompletionRequest.model_fields) | set(OURS) | {"functions", "function_call"}
    assert set(CHAT) <= known, set(CHAT) - known
    # `echo` and `prompt_logprobs` are of completions, `add_generation_prompt` of chats: each has what it has.
    assert set(COMPLETION) <= set(CompletionRequest.model_fields) | set(OURS), set(COMPLETION) - set(
        CompletionRequest.model_fields
    )
