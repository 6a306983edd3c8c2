"""What is said of a file of examples: its format, what is rejected, and what a model learns of the first one.

Without colour: `«learned»` stands in angle quotes, `‹read›` in single ones.
"""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli.inspected import Inspected, fact_lines, shown
from workbench.data.inspect_examples import ExampleFileReport, ShownConversation, inspect_examples
from workbench.safe_text import safe_text

if TYPE_CHECKING:
    from workbench.tokenizer import Tokenizer

WIDTH = 78
MOST_SHOWN_TOKENS = 400
MOST_REASONS = 10


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
        lines.append(f"  first rejected  {shown(str(report.first_rejected.place), 120)}")
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
