"""People who use an endpoint: they ask, and say what the answer should have been."""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

INSTRUCTION = "Name the topic of this message.\n\n"


@dataclass
class Crowd:
    """Visitors of one endpoint, `at_once` of them at a time.

    `questions` are texts with their right answer; `says` turns that into the correction which is sent: a crowd may lie.
    """

    url: str
    model: str
    questions: list[tuple[str, str]]
    says: Callable[[str], str] = lambda right: right
    at_once: int = 4
    pause_seconds: float = 0.0
    seed: int = 0
    asked: int = 0
    right: int = 0
    trouble: list[str] = field(default_factory=list)

    async def ask(self, count: int | None = None) -> None:
        """Ask so many questions, or until cancelled, each as another user, with a thumb and a correction."""
        rng, numbers = random.Random(self.seed), itertools.count()
        async with httpx.AsyncClient(base_url=self.url, timeout=120) as client:

            async def one_after_the_other() -> None:
                while (number := next(numbers)) < (count or sys.maxsize):
                    text, right = rng.choice(self.questions)
                    await self._once(client, f"{self.seed}-{number}", text, right)
                    await asyncio.sleep(self.pause_seconds)

            await asyncio.gather(*(one_after_the_other() for _ in range(self.at_once)))

    async def _once(self, client: httpx.AsyncClient, user: str, text: str, right: str) -> None:
        body = {
            "model": self.model, "user": user, "max_tokens": 8, "temperature": 0,
            "messages": [{"role": "user", "content": INSTRUCTION + text}],
        }  # fmt: skip
        answer = await client.post("/v1/chat/completions", json=body)
        if answer.status_code != 200:
            self.trouble.append(f"{answer.status_code} {answer.text[:300]}")
            return
        found = answer.json()
        said, better = found["choices"][0]["message"]["content"].strip(), self.says(right)
        self.asked += 1
        self.right += said == right
        opinion = {"id": found["id"], "thumb": "up" if said == better else "down", "correction": better}
        heard = await client.post("/v1/feedback", json=opinion)
        if heard.status_code != 200:
            self.trouble.append(f"feedback: {heard.status_code} {heard.text[:300]}")
