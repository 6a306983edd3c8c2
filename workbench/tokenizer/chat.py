"""The chat format: special tokens, the template, how a conversation becomes ids. The only file that knows.

ChatML (OpenAI 2023), one conversation per document:

    <|endoftext|><|im_start|>system\\n…<|im_end|>\\n          (optional)
    <|im_start|>user\\n…<|im_end|>\\n
    <|im_start|>assistant\\n…<|im_end|>\\n                     learned: the content and its <|im_end|>

Training and talking both go through `render`. The Jinja template says the same to other people's tools;
a test holds the two together. This module knows no file and no training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from workbench.errors import BadInput

if TYPE_CHECKING:
    from workbench.tokenizer.tokenizer import Tokenizer

END_OF_TEXT = "<|endoftext|>"
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
PAD = "<|pad|>"

SPECIAL_TOKENS = (END_OF_TEXT, IM_START, IM_END, PAD)
"""In the order of their ids, 0 to 3, in every tokenizer trained here."""

CHAT_TOKENS = (IM_START, IM_END)
"""What a vocabulary needs besides a token between documents; others' get them when they are taken over."""

DOCUMENT_TOKENS = {END_OF_TEXT: END_OF_TEXT, "<|begin_of_text|>": "<|end_of_text|>"}
"""What begins a document -> what ends it, in vocabularies we know: ours, GPT-2's, Qwen's and SmolLM's; Llama 3's."""

EOS_TOKEN = IM_END
"""The end-of-sequence token other people's tools stop at. The end of a document also stops: see `stop_ids`."""

ROLES = ("system", "user", "assistant")

CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['role'] == 'assistant' %}
{%- generation %}
{{- message['content'] | trim + '<|im_end|>' }}
{%- endgeneration %}
{%- else %}
{{- message['content'] | trim + '<|im_end|>' }}
{%- endif %}
{{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
"""What `render` does, in Jinja. `{% generation %}` marks what is learned (a transformers extension)."""

PLAIN_CHAT_TEMPLATE = CHAT_TEMPLATE.replace("{%- generation %}\n", "").replace("{%- endgeneration %}\n", "")
"""The same for readers that know Jinja's own tags alone."""


@dataclasses.dataclass(frozen=True, slots=True)
class SpecialNames:
    """How a vocabulary writes the tokens that have a meaning here.

    begin: before every document and conversation. end: after a document, where the vocabulary tells it from the
    beginning of the next. pad: fills rows and is never learned.
    """

    begin: str
    end: str
    pad: str

    @classmethod
    def among(cls, special: Collection[str]) -> SpecialNames | None:
        """Those of a vocabulary with these special tokens; None when nothing in it begins a document."""
        for begin, end in DOCUMENT_TOKENS.items():
            if begin in special and end in special:
                return cls(begin, end, PAD if PAD in special else end)
        return None


class Turn(Protocol):
    """One message of a conversation: anything with a role and a content."""

    @property
    def role(self) -> str:
        """Who speaks: one of `ROLES`."""

    @property
    def content(self) -> str:
        """What is said."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as ids; `learned[i]` says whether the model is taught to produce `ids[i]`."""

    ids: list[int]
    learned: list[bool]

    def __post_init__(self) -> None:
        assert len(self.ids) == len(self.learned)


def render(
    tokenizer: Tokenizer, messages: Sequence[Turn], *, add_generation_prompt: bool = False
) -> Rendered:
    """The conversation as ids, and which of them the model is taught.

    Learned are the assistant's words and the <|im_end|> after them: a model that never learns to stop
    never stops. White space around a message is dropped, as the template's `trim` does. Special tokens
    spelled out *inside* a message stay ordinary text.

    With `add_generation_prompt` the ids end where the assistant starts to speak; they are then a prefix of
    the ids of the same conversation with the reply in it. Raises BadInput for an unknown role.
    """
    ids = [tokenizer.bos_id]
    learned = [False]
    newline = tokenizer.encode("\n")

    def add(more: list[int], *, teach: bool = False) -> None:
        ids.extend(more)
        learned.extend([teach] * len(more))

    for message in messages:
        if message.role not in ROLES:
            raise BadInput(f"role {message.role!r} is not known", fix=f"use one of {', '.join(ROLES)}")
        teach = message.role == "assistant"
        add(_header(tokenizer, message.role))
        add([*tokenizer.encode(message.content.strip()), tokenizer.im_end_id], teach=teach)
        add(newline)
    if add_generation_prompt:
        add(_header(tokenizer, "assistant"))
    return Rendered(ids=ids, learned=learned)


def stop_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids that end a reply: the end of the turn, or of the document."""
    return tokenizer.im_end_id, tokenizer.special_id(tokenizer.names.end)


def _header(tokenizer: Tokenizer, role: str) -> list[int]:
    # Encoded apart from the content, so that a prompt is a prefix of the prompt with its answer. The split
    # pattern breaks after this newline anyway once the content is trimmed, so other tools get the same ids.
    return [tokenizer.im_start_id, *tokenizer.encode(f"{role}\n")]
