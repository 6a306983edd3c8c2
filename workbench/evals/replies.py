"""What a chat model says when asked: does it stop by itself, is it right, does it look like an answer.

Replies are greedy, so they are a fixed property of the weights. Knows the chat format through the tokenizer;
not where prompts come from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.data.conversations import Message
from workbench.evals.subject import Subject
from workbench.model.generate import generate_batch
from workbench.model.sampling import GREEDY
from workbench.tokenizer import render, stop_ids

WORD = re.compile(r"\w+")
# Begins with a word, perhaps quoted, and ends like a sentence.
SENTENCE = re.compile(r"""["'`(\[]*\w.*[.!?]["'`)\]]*""", re.DOTALL)
MIN_WORDS = 3
DEFAULT_ROWS = 64


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said, and whether it stopped by itself (by a stop token, not by the limit)."""

    text: str
    stopped: bool


def greedy_replies(
    subject: Subject, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int
) -> list[Reply]:
    """The model's most likely next words after each prompt, token by token."""
    tokenizer = subject.tokenizer
    produced = generate_batch(
        subject.model,
        [render(tokenizer, prompt, add_generation_prompt=True).ids for prompt in prompts],
        max_new_tokens=max_new_tokens,
        sampling=GREEDY,
        stop_ids=stop_ids(tokenizer),
        rows_at_once=subject.batch_size or DEFAULT_ROWS,
    )
    return [
        Reply(tokenizer.decode(reply.ids).strip(), stopped=reply.stopped_by == "stop_token")
        for reply in produced
    ]


def word_f1(reply: str, reference: str) -> float:
    """The harmonic mean of precision and recall over words (lower-cased `\\w+`, counted with repetition).

    The measure of SQuAD (Rajpurkar et al. 2016), without its removal of articles: 1 says the same words, 0
    shares none.
    """
    said, wanted = Counter(_words(reply)), Counter(_words(reference))
    common = sum((said & wanted).values())
    if common == 0:
        return 0.0
    precision, recall = common / said.total(), common / wanted.total()
    return 2 * precision * recall / (precision + recall)


def looks_like_an_answer(reply: Reply) -> bool:
    """Whether a reply has the right form: it stopped by itself and reads as at least one whole sentence."""
    return (
        reply.stopped and len(_words(reply.text)) >= MIN_WORDS and SENTENCE.fullmatch(reply.text) is not None
    )


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())
