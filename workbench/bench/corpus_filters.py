"""Quality filters: C4's rules for lines and pages, then Gopher's two and FineWeb's, on what C4 left of each text.

Each answers with the texts that all four keep. The filters are datatrove's, which made FineWeb with them; by itself it
asks spaCy for words; here it also runs with words split at white space, as ours are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_FILE = "texts.json"
_LITTLE = 20


def prepare(folder: Path, texts: Sequence[str]) -> int:
    """Writes `texts` as they are."""
    (folder / _FILE).write_text(json.dumps(list(texts)))
    return sum(len(text.encode()) for text in texts)


def load(folder: Path) -> list[str]:
    """The texts."""
    texts: list[str] = json.loads((folder / _FILE).read_bytes())
    return texts


def little(texts: list[str]) -> list[str]:
    """A few texts, and what is not ASCII, for its table."""
    return [*texts[:_LITTLE], "é 中"]


def judge(folder: Path, results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The share of texts kept, and on how many the contender and Workbench agree."""
    count = len(load(folder))
    ours = set(results.get("workbench", ()))
    return {
        name: {"kept": len(kept) / count, "as workbench": 1 - len(ours ^ set(kept)) / count}
        for name, kept in results.items()
    }


def workbench(texts: Sequence[str]) -> list[int]:
    """As the corpus stage does it: lines are cut, figures measured, rules asked."""
    import numpy as np

    from workbench.corpus.c4_lines import LineRules, edit_lines
    from workbench.corpus.figures import measure
    from workbench.corpus.filters import KEPT, decide, rules_of

    columns: dict[str, Any] = dict(measure(edit_lines(texts, LineRules()).texts))
    columns["bad_words"] = np.zeros(len(texts), np.uint32)
    kept: list[int] = np.flatnonzero(decide(columns, rules_of(ORDER, THRESHOLDS)).rules_D == KEPT).tolist()
    return kept


def datatrove(texts: Sequence[str]) -> list[int]:
    """datatrove's filters with words split at white space and sentences by its own pattern."""
    from datatrove.utils import word_tokenizers

    class WhiteSpace(word_tokenizers.WhitespaceTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

    tokenizer = WhiteSpace()
    word_tokenizers.load_word_tokenizer = lambda language: tokenizer
    return _kept_by_datatrove(texts)


def datatrove_with_spacy(texts: Sequence[str]) -> list[int]:
    """datatrove's filters as they come."""
    return _kept_by_datatrove(texts)


def _kept_by_datatrove(texts: Sequence[str]) -> list[int]:
    from datatrove.data import Document
    from datatrove.pipeline import filters

    asked = [
        filters.C4QualityFilter(),
        filters.GopherRepetitionFilter(),
        filters.GopherQualityFilter(),
        filters.FineWebQualityFilter(),
    ]
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    return [
        number
        for number, document in enumerate(documents)
        if all(each.filter(document) is True for each in asked)
    ]


CONTENDERS: Mapping[str, Callable[[Sequence[str]], list[int]]] = {
    "workbench": workbench,
    "datatrove": datatrove,
    "datatrove-spacy": datatrove_with_spacy,
}
PACKAGES: Mapping[str, str] = {"datatrove": "datatrove", "datatrove-spacy": "spacy"}

ORDER = ("c4", "gopher_repetition", "gopher_quality", "fineweb")
THRESHOLDS: Mapping[str, Mapping[str, Any]] = {
    "c4": {"max_lorem_ipsum": 0, "max_curly_brackets": 0, "min_sentences": 5, "max_bad_words": 0},
    "gopher_repetition": {
        "max_unspaced_share": 0.3,
        "max_duplicate_paragraph_share": 0.3,
        "max_duplicate_paragraph_character_share": 0.2,
        "max_duplicate_line_share": 0.3,
        "max_duplicate_line_character_share": 0.2,
        **{f"max_top_{n}_gram_share": share for n, share in ((2, 0.2), (3, 0.18), (4, 0.16))},
        **{f"max_duplicate_{n}_gram_share": (20 - n) / 100 for n in range(5, 11)},
    },
    "gopher_quality": {
        "max_unspaced_share": 0.3,
        "min_words": 50,
        "max_words": 100_000,
        "min_mean_word_length": 3.0,
        "max_mean_word_length": 10.0,
        "max_hash_word_ratio": 0.1,
        "max_ellipsis_word_ratio": 0.1,
        "max_bullet_line_share": 0.9,
        "max_ellipsis_line_share": 0.3,
        "min_letter_word_share": 0.8,
        "min_stop_words": 2,
    },
    "fineweb": {
        "max_unspaced_share": 0.3,
        "min_punctuated_line_share": 0.12,
        "max_short_line_share": 0.67,
        "max_duplicate_line_text_share": 0.01,
        "max_newline_word_ratio": 0.3,
    },
}
"""Those of the papers, which are the defaults of the recipe."""
