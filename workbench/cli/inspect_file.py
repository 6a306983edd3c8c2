"""What is said of a data file: its format, what is rejected, and what a model learns of the first example.

Without colour: `«learned»` stands in double angle quotes, `‹read›` in single ones.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli.inspected import Inspected, fact_lines, shown
from workbench.data.inspect_examples import ExampleFileReport, ShownConversation, inspect_examples
from workbench.files import human_bytes
from workbench.safe_text import safe_text
from workbench.source_files import EXAMPLE_SUFFIXES

if TYPE_CHECKING:
    from workbench.tokenizer import Tokenizer

WIDTH = 78
MOST_SHOWN_TOKENS = 400
MOST_REASONS = 10
SHOWN_CHARACTERS = 300
TEXT_SUFFIXES = (".txt", ".md", ".txt.gz", ".md.gz", ".txt.zst", ".md.zst")


def data_file(path: Path, tokenizer: Tokenizer | None) -> Inspected:
    """The report on a file of documents, of multiple-choice questions, or of examples to fine-tune on.

    Raises BadInput for a file that is missing, damaged, empty or of an unknown shape.
    """
    is_text = path.name.endswith(TEXT_SUFFIXES) or not path.name.endswith(EXAMPLE_SUFFIXES)
    keys = set[str]() if is_text else _first_keys(path)
    if not keys or ("text" in keys and not keys & {"messages", "conversations", "instruction", "prompt"}):
        return document_file(path)
    if keys & {"choices", "context_options"}:
        return question_file(path)
    return example_file(path, tokenizer)


def _first_keys(path: Path) -> set[str]:
    from workbench.data.rows import Row, read_rows

    row = next((row for row in read_rows(path) if isinstance(row, Row)), None)
    return set() if row is None else set(row.fields)


def document_file(path: Path) -> Inspected:
    """The report on a file of documents, as the corpus stage reads it."""
    from workbench.corpus.extracting import extracted
    from workbench.corpus.sources import Reading, open_sources
    from workbench.data.documents import Document

    documents, size, first = 0, 0, ""
    rejected: Counter[str] = Counter()
    reading = Reading()
    opened = open_sources([str(path.absolute())], base=Path(), reading=reading)
    records = (
        record
        for block in opened.blocks
        for piece in block.pieces
        for record in extracted(block, piece, reading)
    )
    for record in records:
        if isinstance(record, Document):
            first = first or record.text[: SHOWN_CHARACTERS * 4]
            documents, size = documents + 1, size + len(record.text.encode("utf-8", "replace"))
        else:
            rejected[record.reason.replace("_", " ")] += 1
    facts = {
        "kind": "documents",
        "path": str(path),
        "documents": documents,
        "bytes": size,
        "rejected": dict(rejected),
    }
    told = {
        "documents": f"{documents:,}",
        "text": human_bytes(size),
        "bad records": f"{rejected.total():,}",
    }
    lines = [f"documents  {shown(str(path), 200)}", *fact_lines(told)]
    lines += [f"    {shown(reason, 100)}: {count:,}" for reason, count in rejected.most_common(MOST_REASONS)]
    if first:
        lines += ["", *_wrapped(f"“{shown(first, SHOWN_CHARACTERS)}”")]
    return Inspected(facts, lines)


def question_file(path: Path) -> Inspected:
    """The report on a file of multiple-choice questions, the right answer of the first one in «»."""
    from workbench.data.questions import read_questions

    questions = read_questions(path)
    first = questions[0]
    facts = {
        "kind": "questions",
        "path": str(path),
        "questions": len(questions),
        "first": dataclasses.asdict(first),
    }
    lines = [f"questions  {shown(str(path), 200)}", *fact_lines({"questions": f"{len(questions):,}"}), ""]
    for place, (context, text) in enumerate(zip(first.contexts, first.continuations, strict=True)):
        answer = shown(text, SHOWN_CHARACTERS)
        lines += _wrapped(
            f"{shown(context, SHOWN_CHARACTERS)} → {f'«{answer}»' if place == first.gold else answer}"
        )
    return Inspected(facts, lines)


def example_file(path: Path, tokenizer: Tokenizer | None) -> Inspected:
    """The report on an SFT or preference file; token by token with a tokenizer, else message by message."""
    report = inspect_examples(path, tokenizer)
    return Inspected(_facts(report), _lines(report, tokenizer is not None))


def _facts(report: ExampleFileReport) -> dict[str, Any]:
    first = report.first_rejected
    return {
        "kind": report.kind,
        "path": str(report.path),
        "format": report.format,
        "examples": report.examples,
        "rejected": report.rejected,
        "first_rejected": None if first is None else dataclasses.asdict(first),
        "first": [dataclasses.asdict(conversation) for conversation in report.first],
    }


def _lines(report: ExampleFileReport, cut: bool) -> list[str]:
    told = {
        "format": report.format,
        "examples": f"{report.examples:,}",
        "rejected": f"{sum(report.rejected.values()):,}",
    }
    lines = [f"{report.kind}  {shown(str(report.path), 200)}", *fact_lines(told)]
    for reason, count in list(report.rejected.items())[:MOST_REASONS]:
        lines.append(f"    {shown(reason, 100)}: {count:,}")
    if report.first_rejected is not None:
        lines.append(f"  the first of them is {shown(str(report.path), 120)}:{report.first_rejected.line}")
    for conversation in report.first:
        lines += ["", f"{conversation.label}, what is learned in «»:"]
        lines += _tokens(conversation) if cut else _messages(conversation)
    if report.first and not cut:
        lines += ["", "with --with REF it is shown token by token, as that model's tokenizer cuts it"]
    return lines


def _messages(conversation: ShownConversation) -> list[str]:
    lines = []
    last = len(conversation.messages) - 1
    for place, message in enumerate(conversation.messages):
        # Of a pair only the reply itself is learned; of a conversation all the assistant says.
        learned = message.role == "assistant" and (conversation.label == "example" or place == last)
        text = shown(message.content, 400)
        lines += _wrapped(f"{message.role}: {f'«{text}»' if learned else text}")
    return lines


def _tokens(conversation: ShownConversation) -> list[str]:
    shown_tokens = conversation.tokens[:MOST_SHOWN_TOKENS]
    row, lines = "", []
    for token in shown_tokens:
        text = _visible(token.text)
        piece = f"«{text}»" if token.learned else f"‹{text}›"
        if row and len(row) + len(piece) > WIDTH:
            lines.append(f"  {row}")
            row = ""
        row += piece
    lines.append(f"  {row}")
    learned = sum(token.learned for token in conversation.tokens)
    lines.append(f"  {len(conversation.tokens):,} tokens, {learned:,} learned")
    return lines


def _visible(text: str) -> str:
    return safe_text(text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t"), visible=True)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
