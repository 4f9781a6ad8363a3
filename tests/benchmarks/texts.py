"""The texts of the conversations: sentences of real ones, recombined, the same in each run.

They are those of `tests/demo/conversations.jsonl`, or of TEXTS=file.jsonl, an object a line with `messages: [{content}]`.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "demo" / "conversations.jsonl"
ITEMS = 25_000  # messages of a language and a role; each of them is in many conversations
SPREAD = 1_000  # how many times more often the commonest sentence is said than the rarest


class Item:
    """A message as it is stored by the store, and as RAGFlow stores it; and a reference that quotes it."""

    def __init__(self, role: str, text: str) -> None:
        message = {"role": role, "content": text}
        reference = {"chunks": [{"id": "0" * 16, "content": text, "similarity": 0.75}], "doc_aggs": []}
        self.text = text
        self.body = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        self.reference = json.dumps(reference, ensure_ascii=False, separators=(",", ":"))
        # RAGFlow stores JSON with blanks and escapes what is not ASCII.
        self.ragflow_body = json.dumps(message)
        self.ragflow_reference = json.dumps(reference)


class Texts:
    """Items of two languages: the first half of them in ASCII, the second in other scripts; of each users, then assistants."""

    def __init__(self, number: int = ITEMS) -> None:
        self.file = Path(os.environ.get("TEXTS") or SHIPPED)
        self.number = number
        self._random = random.Random(1)
        sentences = sorted({sentence for text in self._read() for sentence in _sentences(text)})
        self._random.shuffle(sentences)
        narrow, wide = ([s for s in sentences if s.isascii() == ascii] or sentences for ascii in (True, False))
        self.items = [
            Item(role, between.join(self._choose(of) for _ in range(self._random.randint(*several))))
            for of, between in ((narrow, " "), (wide, ""))
            for role, several in (("user", (1, 2)), ("assistant", (3, 5)))
            for _ in range(number)
        ]

    def _read(self) -> Iterator[str]:
        with self.file.open(encoding="utf-8") as lines:
            for line in lines:
                yield from (m["content"] for m in json.loads(line)["messages"] if isinstance(m["content"], str))

    def _choose(self, of: list[str]) -> str:
        """Choose a sentence: the first is the commonest, and each is as much rarer than the one before it."""
        rank = -math.log(1 - self._random.random() * (1 - 1 / SPREAD)) / math.log(SPREAD)
        return of[int(rank * len(of))]

    @cache  # noqa: B019 - the texts live as long as the process
    def _counts(self, pattern: str) -> Counter[str]:
        overlapping = re.compile(f"(?=({pattern}))")
        return Counter(word for item in self.items for word in set(overlapping.findall(item.text.lower())))

    def keyword(self, pattern: str, expected: float, drawn: int) -> str:
        """Return what matches a pattern and is expected nearest to a number of times in so many messages.

        Half of the messages are of users, half of assistants, half of each language: each item is as likely.
        """
        counts = self._counts(pattern)
        aim = expected * len(self.items) / drawn
        return min(counts, key=lambda word: (abs(math.log(counts[word] / aim)), word))


def _sentences(text: str) -> list[str]:
    found = (sentence.strip() for sentence in re.findall(r"[^.!?。！？\n]+[.!?。！？]*", text))
    return [sentence[:300] for sentence in found if len(sentence) > 3]
