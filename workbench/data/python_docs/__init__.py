"""The documentation of the Python at hand, as data to learn from: nothing downloaded, nothing shipped.

    parse.py      source files to symbols, by ast       native.py, probe.py   compiled modules, in a child
    summary.py    one clean line of a docstring         topics.py             the language reference
    symbols.py    all of them, public names, the split  everyday.py           which ones are everyday

    documents.py, conversations.py, preferences.py      what a model learns from
    questions.py                                        what it is asked

Knows no tokens, no files of its own and no chat template.
"""

from __future__ import annotations

from workbench.data.python_docs.conversations import ask, conversations
from workbench.data.python_docs.documents import documents
from workbench.data.python_docs.parse import Symbol
from workbench.data.python_docs.preferences import preferences
from workbench.data.python_docs.questions import (
    ReferenceReply,
    everyday_questions,
    heldout_prompts,
    lexical_overlap_choice,
    name_questions,
)
from workbench.data.python_docs.symbols import read_describable, read_symbols

__all__ = [
    "ReferenceReply",
    "Symbol",
    "ask",
    "conversations",
    "documents",
    "everyday_questions",
    "heldout_prompts",
    "lexical_overlap_choice",
    "name_questions",
    "preferences",
    "read_describable",
    "read_symbols",
]
