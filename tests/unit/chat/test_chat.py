"""`tunesmith chat`, through a real registry, against transformers' plain generation."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests import tiny_models, tiny_versions
from tunesmith.chat.conversation import Conversation
from tunesmith.chat.terminal import talk
from tunesmith.cli import cli
from tunesmith.errors import TunesmithError
from tunesmith.models.tuned import find_tuned
from tunesmith.recipe.method import MethodSection
from tunesmith.registry.registry import Registry
from tunesmith.store.home import find_home

PAGE = (Path(__file__).parents[3] / "docs" / "chat.md").read_text(encoding="utf-8")
SYSTEM = {"data": {"train": "rows.jsonl", "system": "Be brief."}}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TUNESMITH_HOME", "TUNESMITH_DATABASE_URL", "TUNESMITH_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(cli, ["chat", *arguments], **options)


def expected(start: Path, turns: list[tuple[str, str]], max_new_tokens: int = 12, tuned: bool = True) -> str:
    """The answer by transformers and PEFT alone."""
    from peft import PeftModel

    prompt = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns) + "<|im_start|>assistant\n"
    tokenizer, model = tiny_models.tokenizer(), tiny_models.model()
    if tuned:
        model = PeftModel.from_pretrained(model, start / "adapter")
    ids = tokenizer(prompt, return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=1, pad_token_id=1)
    return str(tokenizer.decode(out[0, ids.input_ids.shape[1] :], skip_special_tokens=True))


def test_a_version_answers_as_plain_transformers_does(project: Path) -> None:
    tiny_versions.register(project)
    answer = json.loads(run("tiny", "--prompt", "hello", "--max-new-tokens", "12", "--json").stdout)
    assert answer["text"] == expected(project, [("user", "hello")])
    assert (answer["reference"], answer["by"]) == ("tiny@1", "tiny@1")
    assert answer["base_revision"].startswith("sha256:")
    base = json.loads(run("tiny@1", "--prompt", "hello", "--max-new-tokens", "12", "--json", "--base").stdout)
    assert base["text"] == expected(project, [("user", "hello")], tuned=False) != answer["text"]
    assert base["by"].endswith("(base)")


def test_the_recipes_system_message_stop_strings_and_temperature_are_used(project: Path) -> None:
    tiny_versions.register(project, recipe=SYSTEM)
    plain = expected(project, [("system", "Be brief."), ("user", "hello")])
    reply = json.loads(run("tiny", "--prompt", "-", "--max-new-tokens", "12", "--json", input="hello").stdout)
    assert reply["text"] == plain
    conversation = Conversation.open(find_tuned("tiny", find_home(), project), project, stop=(plain[2],))
    pieces: list[str] = []
    reply = conversation.ask("hello", pieces.append)
    assert "".join(pieces) == reply.text == plain.partition(plain[2])[0]
    assert reply.finished


def test_a_folder_with_an_adapter_is_enough(project: Path) -> None:
    tiny_models.save(project / "base")
    tiny_versions.adapter(project / "runs/1/adapter", MethodSection(rank=4), tiny_models.TEMPLATE.replace("\n", "~"))
    result = run("./runs/1/adapter", "--prompt", "hello", "--max-new-tokens", "5", "--json")
    assert result.exit_code == 0, result.exception
    assert json.loads(result.stdout)["base_model"] == "base"
    # The template beside the adapter counts.
    tuned = find_tuned("./runs/1/adapter", find_home(), project)
    conversation = Conversation.open(tuned, project)
    assert conversation.template.render([{"role": "user", "content": "x"}]) == "<|im_start|>user~x<|im_end|>~"


def test_the_conversation_is_kept_forgotten_and_compared(project: Path) -> None:
    tiny_versions.register(project)
    conversation = Conversation.open(find_tuned("tiny", find_home(), project), project, max_new_tokens=12)
    typed = iter(["hello", "more", "/base", "again", "/base", "/reset", "hello", "", "/what"])

    def read(_: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    out, err = io.StringIO(), io.StringIO()
    seen: list[str] = []
    ask = conversation.ask

    def remember(text: str, show: Callable[[str], None]) -> Any:
        reply = ask(text, show)
        seen.append(reply.text)
        return reply

    conversation.ask = remember  # type: ignore[method-assign]
    talk(conversation, read, out, err)
    first = expected(project, [("user", "hello")])
    second = expected(project, [("user", "hello"), ("assistant", first), ("user", "more")])
    turns = [("user", "hello"), ("assistant", first), ("user", "more"), ("assistant", second), ("user", "again")]
    assert seen == [first, second, expected(project, turns, tuned=False), first]
    assert err.getvalue().count("now answering: ") == 2
    assert "forgotten" in err.getvalue()


def test_control_characters_of_an_answer_are_spelled_out(project: Path) -> None:
    tiny_versions.register(project)
    conversation = Conversation.open(
        find_tuned("tiny", find_home(), project), project, max_new_tokens=200, temperature=2
    )
    out = io.StringIO()
    typed = iter(["hello"])
    talk(conversation, lambda _: next(typed, None) or (_ for _ in ()).throw(EOFError), out, io.StringIO())
    said = conversation.messages[-1]["content"]
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said), "the model of this test should write control characters"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", out.getvalue())
    printed = run("tiny", "--prompt", "hello", "--max-new-tokens", "200", "--temperature", "2").stdout
    assert printed == out.getvalue()


def test_ctrl_c_ends_an_answer_and_keeps_what_was_said(project: Path) -> None:
    tiny_versions.register(project)
    conversation = Conversation.open(find_tuned("tiny", find_home(), project), project, max_new_tokens=50)
    pieces: list[str] = []

    def show(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == 3:
            raise KeyboardInterrupt

    reply = conversation.ask("hello", show)
    assert not reply.finished and reply.answer_tokens < 50
    assert conversation.messages[-1] == {"role": "assistant", "content": reply.text}
    assert conversation.ask("go on", lambda piece: None).prompt_tokens > reply.prompt_tokens


def test_a_conversation_that_outgrows_the_model_is_refused_and_goes_on_after_a_reset(project: Path) -> None:
    tiny_versions.register(project, max_position_embeddings=64)
    conversation = Conversation.open(find_tuned("tiny", find_home(), project), project, max_new_tokens=12)
    with pytest.raises(TunesmithError) as caught:
        conversation.ask("x" * 60, lambda piece: None)
    assert str(caught.value) == (
        "the conversation has 79 tokens and the answer may have 12, the model can read 64\n"
        "  fix: start anew with /reset, or lower --max-new-tokens"
    )
    assert conversation.messages == []
    assert conversation.ask("x", lambda piece: None).prompt_tokens < 40


def _other_base(project: Path) -> None:
    tiny_versions.register(project)
    tiny_models.save(project / "base", seed=1)


def _full(project: Path) -> None:
    from dataclasses import replace

    from tunesmith.registry.version import NewVersion

    (project / "full").mkdir()
    (project / "full" / "model.safetensors").touch()
    new = NewVersion("tiny", "adapter", "base", "r1", {}, "ann")
    Registry.open(find_home()).register(replace(new, kind="full"), project / "full")


REFUSED: list[tuple[Callable[[Path], object] | None, str, str]] = [
    (None, "tiny", "there is no registry here"),
    (
        None,
        "./nothing",
        "there is no adapter in ./nothing\n  fix: name a folder with adapter_config.json, or a version",
    ),
    (tiny_versions.register, "tinny", "did you mean 'tiny'?"),
    (_other_base, "tiny", "tiny@1 was trained on '{start}/base' of revision sha256:"),
    (_full, "tiny", "tiny@1 holds full weights, not an adapter"),
]


@pytest.mark.parametrize(("prepare", "reference", "message"), REFUSED)
def test_what_cannot_be_talked_to_is_a_sentence(
    prepare: Callable[[Path], object] | None, reference: str, message: str, project: Path
) -> None:
    if prepare:
        prepare(project)
    result = run(reference, "--prompt", "hello")
    assert isinstance(result.exception, TunesmithError), result.exception
    assert message.format(start=project) in str(result.exception)


def test_a_base_that_has_moved_is_named(project: Path) -> None:
    tiny_versions.register(project)
    (project / "base").rename(project / "moved")
    arguments = ("tiny", "--prompt", "hello", "--max-new-tokens", "5")
    assert "there is no model at" in str(run(*arguments).exception)
    assert run(*arguments, "--model", "moved").exit_code == 0
    tiny_models.save(project / "other", seed=1)
    assert "say where it is with --model" in str(run(*arguments, "--model", "other").exception)


@pytest.mark.parametrize(
    ("arguments", "message"), [(["--json"], "--json needs --prompt"), (["--prompt", " "], "the prompt is empty")]
)
def test_arguments_that_make_no_sense(arguments: list[str], message: str) -> None:
    result = run("tiny", *arguments)
    assert result.exit_code == 2 and message in result.stderr


def test_the_commands_of_the_page_work(project: Path) -> None:
    tiny_versions.register(project)
    registry = Registry.open(find_home())
    registry.move_alias("tiny", "champion", 1, "ann", "first")
    (project / "question.txt").write_text("hello")
    commands = re.findall(r"^(?:cat (\S+) \| )?tunesmith (.*)$", PAGE, re.MULTILINE)
    assert len(commands) >= 6
    for given, command in commands:
        words = shlex.split(command.replace("summaries", "tiny").replace("runs/1/adapter", "adapter"), comments=True)
        # A typed chat ends at once: there is nobody at the keyboard.
        result = CliRunner().invoke(cli, words, input=(project / given).read_text() if given else "")
        assert result.exit_code == 0, (command, result.output, result.exception)
