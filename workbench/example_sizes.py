"""How many examples a fine-tuning table will learn from and how long they are in tokens, before anything is read.

A look at the first records of a file tells their number, their turns and their bytes; tokens follow from the bytes of a
token and from the chat format. The shapes are those of data/conversations.py and data/preferences.py, read loosely:
what is no example is told by whoever reads it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import itertools
import json
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workbench.plan import Plan
from workbench.recipe import Dpo, Examples, Sft
from workbench.source_files import EXAMPLE_SUFFIXES, files_of, is_file_source
from workbench.source_sizes import unpacked_bytes
from workbench.token_sizes import bytes_per_token

# Of Python 3.11's documentation, read by data/python_docs: conversations about everyday names and about others, and
# preference pairs; what is measured on, of both; turns and bytes of a conversation, bytes of a side of a pair.
PYTHON_DOCS_EVERYDAY, PYTHON_DOCS_OTHERS, PYTHON_DOCS_PAIRS, PYTHON_DOCS_HELDOUT = 345, 6_590, 7_010, 400
PYTHON_DOCS_TURNS, PYTHON_DOCS_BYTES, PYTHON_DOCS_SIDE_BYTES = 3, 135, 94
PYTHON_DOCS_TOKEN = 0.945
"""Bytes of a token there, as a share of those in documents (3.46 of 3.66): names and signatures."""
# An example's, where the file does not tell.
EXAMPLE_BYTES = 500
SAMPLE_BYTES = 256_000
TURN_TOKENS = 6
"""Around the words of a turn: <|im_start|>, the role's name in two, a newline, <|im_end|> and a newline."""
OTHER_TEXT = 0.92
"""Bytes of a token in texts of which it was not learned, as a share of those in the corpus (recipes/LOG.md)."""
MARKS_IN_TEXT = 0.04
"""Share of digits and punctuation in prose. Each is a token, so texts with more of them have shorter tokens."""
LONGEST = 2.5
"""Times the mean length: the longest example of documentation, where no file tells of its own (measured: 95 of 38)."""
_BETWEEN_RECORDS = re.compile(r"[\s,\[]*")
_MARK = re.compile(r"[!-@\[-`{-~]")
_LISTS = ("messages", "conversations")
_TASK = ("instruction", "input")
_ASKED = ("system", "history", "prompt", "question")
_ANSWERED = ("output", "completion", "response", "answer")


@dataclasses.dataclass(frozen=True)
class ExampleSizes:
    """Of all sources together. train: how many are chosen to learn from; fitting: which share of these fits into the
    context. heldout: how many are measured on. tokens: the model reads of one, or of one side of a pair, on average;
    longest: of the longest."""

    train: float
    heldout: float
    fitting: float
    tokens: float
    longest: float

    @property
    def learned(self) -> float:
        """How many are left to learn from."""
        return self.train * self.fitting


def example_sizes(plan: Plan, table: Examples) -> ExampleSizes:
    """What the sources of `table` hold, as the stage will cut and choose it; about, except for very small files."""
    found = list(_of_sources(plan, table))
    train = sum(each.train for each in found)
    fitting = sum(each.train * each.fitting for each in found)
    read = sum(each.train * each.fitting * each.tokens for each in found)
    return ExampleSizes(
        train=min(train, table.max_examples or train),  # chosen before it is seen which of them fit
        heldout=sum(each.heldout for each in found),
        fitting=fitting / train if train else 1.0,
        tokens=read / fitting if fitting else 0.0,
        longest=max((each.longest for each in found), default=0.0),
    )


def num_steps(table: Sft | Dpo, sizes: ExampleSizes) -> int:
    """The optimizer steps that the stage will take (data/lessons.py deals examples out so)."""
    if isinstance(table, Dpo):
        per_epoch = math.ceil(sizes.learned / table.batch_pairs)
    else:
        tokens = sizes.learned * sizes.tokens
        per_epoch = min(math.ceil(tokens / table.batch_tokens), math.ceil(sizes.learned))
    return max(1, round(table.epochs * per_epoch))


def examples_in(file: Path) -> int:
    """About how many records a file holds, from the length of those that lie whole in its first bytes."""
    records, share = _first_records(file)
    return round(len(records) / share) if records else math.ceil(unpacked_bytes(file) / EXAMPLE_BYTES)


def _of_sources(plan: Plan, table: Examples) -> Iterator[ExampleSizes]:
    of_a_token = bytes_per_token(plan)
    for source in table.sources:
        if not is_file_source(source):
            yield _of_python_docs(table, of_a_token)
            continue
        for file in files_of(source, base=plan.recipe_folder, suffixes=EXAMPLE_SUFFIXES):
            yield _of_file(file, table, OTHER_TEXT * of_a_token)


def _of_python_docs(table: Examples, of_a_token: float) -> ExampleSizes:
    if isinstance(table, Sft):
        count = PYTHON_DOCS_OTHERS + PYTHON_DOCS_EVERYDAY * table.everyday_repeats
        turns, num_bytes = PYTHON_DOCS_TURNS, PYTHON_DOCS_BYTES
    else:
        count, turns, num_bytes = PYTHON_DOCS_PAIRS, 2, PYTHON_DOCS_SIDE_BYTES
    tokens = TURN_TOKENS * turns - 1 + num_bytes / (PYTHON_DOCS_TOKEN * of_a_token)
    mean, longest = (min(each, table.context_length) for each in (tokens, LONGEST * tokens))
    return ExampleSizes(count, PYTHON_DOCS_HELDOUT, 1.0, mean, longest)


def _of_file(file: Path, table: Examples, of_a_token: float) -> ExampleSizes:
    records, share = _first_records(file)
    if not records:
        count = unpacked_bytes(file) / EXAMPLE_BYTES
        found = [[TURN_TOKENS + EXAMPLE_BYTES / of_a_token]]
    else:
        count = len(records) / share
        sides = _sides_of_pair if isinstance(table, Dpo) else _conversation
        found = [[_tokens(turns, of_a_token) for turns in sides(record)] for record in records]
    if isinstance(table, Dpo):  # both sides fit, or the pair is left out
        kept = [sides for sides in found if max(sides) <= table.context_length]
    else:  # a conversation that is too long is cut, or left out where nothing is left of a reply
        longest = table.context_length
        kept = [[min(whole, longest)] for *asked, whole in found if not asked or asked[0] < longest]
    lengths = list(itertools.chain.from_iterable(kept)) or [float(table.context_length)]
    return ExampleSizes(
        train=(1 - table.heldout_fraction) * count,
        heldout=table.heldout_fraction * count,
        fitting=len(kept) / len(found),
        tokens=sum(lengths) / len(lengths),
        longest=max(lengths),
    )


def _first_records(file: Path) -> tuple[list[dict[str, Any]], float]:
    """Records that lie whole in the first bytes of a JSON file, and which share of the file's bytes they are."""
    if Path(file.name.removesuffix(".gz")).suffix not in (".json", ".jsonl"):
        return [], 0.0
    records: list[dict[str, Any]] = []
    head, end = "", 0
    with (
        gzip.open(file) if file.suffix == ".gz" else open(file, "rb") as opened,
        contextlib.suppress(OSError, EOFError, zlib.error),  # whoever reads it all will say so
    ):
        head = opened.read(SAMPLE_BYTES).decode("latin-1")  # a character a byte
    with contextlib.suppress(ValueError, RecursionError):  # the last one is cut
        while between := _BETWEEN_RECORDS.match(head, end):
            record, end = json.JSONDecoder().raw_decode(head, between.end())
            records.append(record if isinstance(record, dict) else {})
    return records, end / max(1, end, unpacked_bytes(file))


def _conversation(record: dict[str, Any]) -> list[list[str]]:
    """The turns before the first reply, and all turns."""
    for key in _LISTS:
        if key in record:
            turns = list(_texts(record[key]))
            return [turns[:1], turns]
    asked = _asked(record)
    return [asked, asked + list(_texts([record.get(key) for key in _ANSWERED]))]


def _sides_of_pair(record: dict[str, Any]) -> list[list[str]]:
    """The turns of the better and of the worse side."""
    asked, sides = _asked(record), []
    for key in _LISTS:
        asked = list(_texts(record.get(key))) or asked
    for reply in (record.get("chosen", record.get("output")), record.get("rejected")):
        said = list(_texts(reply))
        # A list of several messages is the whole conversation, its prompt included.
        sides.append(said if isinstance(reply, list) and len(said) > 1 else asked + said)
    return sides


def _asked(record: dict[str, Any]) -> list[str]:
    one_turn = "\n\n".join(_texts([record.get(key) for key in _TASK]))
    return list(_texts([*(record.get(key) for key in _ASKED), one_turn]))


def _texts(value: Any) -> Iterator[str]:
    """Every text in `value`: texts, messages, and lists of these."""
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, dict):
        yield from _texts(value.get("content", value.get("value")))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _tokens(turns: Sequence[str], of_a_token: float) -> float:
    """What the model reads of `turns`: also the first token of all, and neither the last newline nor the last token."""
    marks = sum(len(_MARK.findall(turn)) for turn in turns)
    # Read as latin-1 a text has a character a byte, but for what JSON wrote as \uXXXX.
    num_bytes = sum(
        len(turn) if max(turn) < "\u0100" else len(turn.encode("utf-8", "replace")) for turn in turns
    )
    of_a_letter = (1 / of_a_token - MARKS_IN_TEXT) / (1 - MARKS_IN_TEXT)
    return max(1.0, TURN_TOKENS * len(turns) - 1 + marks + max(0.0, of_a_letter) * (num_bytes - marks))
