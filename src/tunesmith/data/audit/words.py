"""Text of a conversation as hashes: whole, prompt, answer, and the set of its word 3-grams."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from zlib import crc32

import numpy as np
import orjson

from tunesmith.data.example import Example, Message

# Scripts written without spaces: each character is a word of its own, or a whole sentence would be one word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")

BOILERPLATE_SHARE = 0.3
BOILERPLATE_MIN_ROWS = 50


def content(message: Message) -> str:
    """The text of a turn; a turn that only calls tools has none."""
    return message.get("content") or ""


def spoken(example: Example) -> str:
    """Text of all turns but the system's, which rows share and which would make them all look alike."""
    return "\n".join(content(message) for message in example.messages if message["role"] != "system")


def prompt_and_answer(example: Example) -> tuple[list[Message], str]:
    """Turns before the last answer, and the last answer with its tool calls."""
    turns = example.messages
    last = next((i for i in range(len(turns) - 1, -1, -1) if turns[i]["role"] == "assistant"), len(turns))
    return turns[:last], "".join(_canonical(message) for message in turns[last:])


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """64-bit hashes of a conversation; runs of white space count as one space."""

    whole: int
    prompt: int
    answer: int


def fingerprint(example: Example) -> Fingerprint:
    """Hash a conversation, the prompt in it and the last answer."""
    prompt, answer = prompt_and_answer(example)
    asked = "".join(_canonical(message) for message in prompt)
    if example.tools:
        asked += orjson.dumps(example.tools, option=orjson.OPT_SORT_KEYS, default=str).decode()
    prompt_hash, answer_hash = _hash(asked), _hash(answer)
    return Fingerprint(_hash(f"{prompt_hash} {answer_hash}"), prompt_hash, answer_hash)


def _canonical(message: Message) -> str:
    calls = message.get("tool_calls")
    called = f"\x1f{orjson.dumps(calls, option=orjson.OPT_SORT_KEYS, default=str).decode()}" if calls else ""
    return f"\x1e{message['role']}\x1f{' '.join(content(message).split())}{called}"


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def boilerplate(texts: Sequence[str]) -> frozenset[str]:
    """Lines that at least 30 % of rows share, such as an instruction above each text.

    They would make short rows look alike, so 3-grams leave them out. Found in the first rows, then used for all.
    """
    if len(texts) < BOILERPLATE_MIN_ROWS:
        return frozenset()
    lines = Counter(line for text in texts if "\n" in text for line in {line.strip() for line in text.split("\n")})
    return frozenset(line for line, count in lines.items() if line and count >= BOILERPLATE_SHARE * len(texts))


def own_text(text: str, shared: frozenset[str]) -> str:
    """A row's text without the shared lines; all of it where nothing else would be left."""
    if not shared or "\n" not in text:
        return text
    own = "\n".join(line for line in text.split("\n") if line.strip() not in shared)
    return own if WORD.search(own) else text


@dataclass(frozen=True, slots=True)
class Shingles:
    """Sets of word 3-grams of some rows, as 32-bit hashes: `values[offsets[i]:offsets[i + 1]]` is row i, sorted."""

    values: np.ndarray
    offsets: np.ndarray

    def set_hashes(self) -> np.ndarray:
        """One 64-bit hash for each set; equal sets have equal hashes."""
        mixed = self.values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.add.reduceat(mixed ^ (mixed >> np.uint64(31)), self.offsets[:-1])


def shingles(texts: Iterable[str]) -> Shingles:
    """Word 3-grams, lower-case and without punctuation. A text of one or two words is one gram; no set is empty."""
    rows = [_word_hashes(text) for text in texts]
    sizes = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    words = np.fromiter((word for row in rows for word in row), dtype=np.uint32, count=int(sizes.sum()))
    ends = np.cumsum(sizes)
    is_start = np.ones(len(words), dtype=bool)
    is_start[ends - 1] = is_start[ends - 2] = False
    at = np.flatnonzero(is_start)
    grams = mixed32(words[at]) * np.uint32(0x85EBCA77) + mixed32(words[at + 1]) * np.uint32(0xC2B2AE3D) + words[at + 2]
    row_of = np.repeat(np.arange(len(rows), dtype=np.uint64), sizes - 2)
    keys = np.unique((row_of << np.uint64(32)) | mixed32(grams))
    counts = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(rows))
    return Shingles(keys.astype(np.uint32), np.concatenate([[0], np.cumsum(counts)]))


def _word_hashes(text: str) -> list[int]:
    words = [crc32(word.encode("utf-8", "surrogatepass")) for word in WORD.findall(text.lower())]
    if not words:
        words = [crc32(text.strip().encode("utf-8", "surrogatepass")), 1]
    return words if len(words) > 2 else [*words, *([0] * (3 - len(words)))]


def mixed32(values: np.ndarray) -> np.ndarray:
    """MurmurHash3's 32-bit finaliser (Appleby, public domain), element by element."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    mixed: np.ndarray = values ^ (values >> np.uint32(16))
    return mixed
