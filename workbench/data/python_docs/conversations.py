"""Conversations about symbols: what one does, which one does something, how it is called; and a greeting.

user       What does `shutil.copytree` do?
assistant  Recursively copy a directory tree and return the destination directory.
user       And its signature?
assistant  `shutil.copytree(src, dst, symlinks=False)`
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence

from workbench.data.conversations import Conversation, Message
from workbench.data.python_docs.parse import Symbol
from workbench.data.python_docs.summary import folded
from workbench.data.python_docs.symbols import read_describable

OTHER_PHRASINGS = (
    "What is `{name}` for?",
    "Explain `{name}`.",
    "Tell me what `{name}` does.",
    "Describe `{name}` in one sentence.",
    "what does {name} do",
)
WHICH_PHRASINGS = (
    "Which {kind} fits this description: {summary}",
    "Which {kind} of Python does this? {summary}",
    "What is the {kind} called that does the following? {summary}",
)
SIGNATURE_PHRASINGS = ("And its signature?", "What are its arguments?", "How do I call it?")

GREETING = "Hello! Ask me what something in Python's standard library does, such as `os.path.join`."
SELF = "I am a small model made of Python's own documentation. Ask me what a function or class does."
SMALL_TALK = (
    ("Hello!", GREETING),
    ("hi", GREETING),
    ("Hello, how are you?", GREETING),
    ("Good morning.", GREETING),
    ("Who are you?", SELF),
    ("What are you?", SELF),
    ("What can you do?", SELF),
    ("help", SELF),
    ("Thank you!", "You are welcome."),
    ("thanks", "You are welcome."),
    ("Goodbye.", "Goodbye!"),
)
"""People begin with a greeting; a model that never met one answers it with some function's summary."""

FOLLOW_UP_SHARE = 0.25
"""Share of the conversations that go on to the signature."""

STRUNG_SHARE = 0.15
MOST_QUESTIONS = 3
WHICH_SHARE = 0.25
"""How many symbols that are not everyday also get a conversation from the summary to the name."""

MAX_SIGNATURE = 160
"""Longer signatures are no answer to a question in a chat."""


def ask(name: str) -> str:
    """The canonical question: the one every symbol is taught with and measured by."""
    return f"What does `{name}` do?"


def conversations(
    packages: Sequence[str] = (), *, everyday_repeats: int = 8, seed: int = 0
) -> Iterator[Conversation]:
    """Conversations about every describable symbol, shuffled by `seed`; `heldout` is always set.

    A symbol is asked about with the canonical question and sometimes by its summary; an everyday one
    `everyday_repeats` times, every second time with the canonical question; small talk comes half as often.
    Raises BadInput as `read_symbols` does.
    """
    symbols = read_describable(packages)
    times_said = Counter(folded(symbol.summary) for symbol in symbols)
    made: list[Conversation] = []
    for symbol in symbols:
        # A summary that several symbols share does not say which one is meant.
        is_telling = times_said[folded(symbol.summary)] == 1
        made += _about(symbol, everyday_repeats=everyday_repeats, is_telling=is_telling, seed=seed)
    for number in range(max(1, everyday_repeats // 2)):
        made += (
            Conversation(f"python-docs:{said}#{number}", _turn(said, reply), heldout=False)
            for said, reply in SMALL_TALK
        )
    chance = random.Random(seed)
    chance.shuffle(made)
    yield from _strung_together(made, chance)


def _strung_together(conversations: Sequence[Conversation], chance: random.Random) -> Iterator[Conversation]:
    """The same questions, some of them two or three in one conversation about different things, as people ask.

    Without those a model that was only ever asked once answers the second question with the first one's answer.
    Held-out conversations stay as they are.
    """
    waiting: list[Conversation] = []
    wanted = 1
    for conversation in conversations:
        if conversation.heldout:
            yield conversation
            continue
        if not waiting:
            wanted = chance.randint(2, MOST_QUESTIONS) if chance.random() < STRUNG_SHARE else 1
        waiting.append(conversation)
        if len(waiting) == wanted:
            yield _string(waiting)
            waiting = []
    if waiting:
        yield _string(waiting)


def _string(conversations: Sequence[Conversation]) -> Conversation:
    messages = tuple(message for each in conversations for message in each.messages)
    return Conversation(
        "+".join(each.id for each in conversations), messages, heldout=conversations[0].heldout
    )


def _about(symbol: Symbol, *, everyday_repeats: int, is_telling: bool, seed: int) -> Iterator[Conversation]:
    chance = random.Random(f"{seed}:{symbol.name}")
    if symbol.is_everyday:
        questions = [_everyday_question(symbol, number, is_telling) for number in range(everyday_repeats)]
    else:
        questions = [_describe(symbol)]
        if is_telling and chance.random() < WHICH_SHARE:
            questions.append(_which(symbol, WHICH_PHRASINGS[chance.randrange(len(WHICH_PHRASINGS))]))
    for number, turns in enumerate(questions):
        if 0 < len(symbol.full_signature) <= MAX_SIGNATURE and chance.random() < FOLLOW_UP_SHARE:
            turns += _turn(chance.choice(SIGNATURE_PHRASINGS), f"`{symbol.full_signature}`")
        yield Conversation(id=f"python-docs:{symbol.name}#{number}", messages=turns, heldout=symbol.heldout)


def _everyday_question(symbol: Symbol, number: int, is_telling: bool) -> tuple[Message, ...]:
    """The `number`-th way to ask: canonical, other words, canonical, from the summary, and so on."""
    if number % 2 == 0:
        return _describe(symbol)
    if number % 4 == 3 and is_telling:
        return _which(symbol, WHICH_PHRASINGS[number // 4 % len(WHICH_PHRASINGS)])
    phrasing = OTHER_PHRASINGS[number // 2 % len(OTHER_PHRASINGS)]
    return _turn(phrasing.format(name=symbol.name), symbol.summary)


def _describe(symbol: Symbol) -> tuple[Message, ...]:
    return _turn(ask(symbol.name), symbol.summary)


def _which(symbol: Symbol, phrasing: str) -> tuple[Message, ...]:
    return _turn(phrasing.format(kind=symbol.kind, summary=symbol.summary), f"`{symbol.name}`")


def _turn(question: str, answer: str) -> tuple[Message, ...]:
    return Message("user", question), Message("assistant", answer)
