"""Text to passages: which tokens of a document, a continuation or a chat reply are scored, given what.

Knows the tokenizer and the chat format; not the model.
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.data.conversations import Message
from workbench.evals.likelihood import Passage
from workbench.tokenizer import Tokenizer, render


def documents(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Passage]:
    """Each text on its own, scored from its first token, with the start token before it."""
    return [Passage([tokenizer.bos_id, *ids]) for ids in tokenizer.encode_batch(texts)]


def continuation(tokenizer: Tokenizer, context: str, text: str) -> Passage:
    """`text` scored after `context`, both at the start of a document.

    They are encoded together, as the model knows them; a token that straddles the border is scored whole.
    """
    before, whole = tokenizer.encode(context), tokenizer.encode(context + text)
    shared = 0
    while shared < min(len(before), len(whole)) and before[shared] == whole[shared]:
        shared += 1
    return Passage([tokenizer.bos_id, *whole], scored_from=1 + shared)


def reply(tokenizer: Tokenizer, prompt: Sequence[Message], text: str) -> Passage:
    """The assistant's `text` scored as the whole answer to `prompt`: its words and the stop token."""
    start = len(render(tokenizer, prompt, add_generation_prompt=True).ids)
    full = render(tokenizer, [*prompt, Message("assistant", text)])
    stop = start
    while stop < len(full.ids) and full.learned[stop]:
        stop += 1
    return Passage(full.ids[:stop], scored_from=start)
