"""What the quality filters ask of a document, as plain data: recipe key, figure, reason, and a sentence for people.

    recipe_filters.py    the thresholds, as keys of a recipe     ┐
    corpus/figures/      the figures                             ├─ meet here by name
    corpus/filters.py    who stays                               │
    inspect              the sentence                            ┘

A filter is a list of checks, in the order in which they are asked; the first that a document fails is the reason
why it goes. Orders and thresholds are those of the papers and of datatrove, which made FineWeb.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

STOP_WORDS: dict[str, tuple[str, ...]] = {"en": ("the", "be", "to", "of", "and", "that", "have", "with")}
"""Gopher's eight (Rae et al. 2021, A.1.1), by language."""
STOP_WORD_FIGURE = "stop_words"
"""The figure of this name is one per language: `stop_words_en`."""
LANGUAGE = "language"
"""The figure of this name is a language code, and what the key asks for are those that are wanted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One question to a document."""

    key: str
    """The recipe key, in the table of the filter, that holds the threshold."""
    figure: str
    """The column that is compared with it."""
    wants: Literal["at least", "at most", "one of"]
    reason: str
    """What a document that fails is rejected as."""
    sentence: str
    """For a person; `{figure}` and `{limit}` are what was found and what the key says."""
    spaced: bool = False
    """It says nothing of a script that is written without spaces, and does not judge texts in one."""


def _gopher_ngrams() -> tuple[Check, ...]:
    top = (
        Check(
            f"max_top_{n}_gram_share",
            f"top_{n}_gram_share",
            "at most",
            f"gopher_top_{n}_gram",
            f"its most frequent run of {n} words makes {{figure:.1%}} of the text, more than {{limit:.1%}}",
            spaced=True,
        )
        for n in (2, 3, 4)
    )
    again = (
        Check(
            f"max_duplicate_{n}_gram_share",
            f"duplicate_{n}_gram_share",
            "at most",
            f"gopher_duplicate_{n}_grams",
            f"{{figure:.1%}} of it are runs of {n} words that stood before, more than {{limit:.1%}}",
            spaced=True,
        )
        for n in (5, 6, 7, 8, 9, 10)
    )
    return (*top, *again)


FILTERS: Mapping[str, tuple[Check, ...]] = {
    "length": (
        Check(
            "min_characters",
            "characters",
            "at least",
            "too_short",
            "{figure:,.0f} characters, fewer than {limit:,.0f}",
        ),
        Check(
            "max_characters",
            "characters",
            "at most",
            "too_long",
            "{figure:,.0f} characters, more than {limit:,.0f}",
        ),
    ),
    "language": (
        Check(
            "languages",
            LANGUAGE,
            "one of",
            "other_language",
            "in another language than {limit} (that it is, with confidence {figure:.2f})",
        ),
        Check(
            "min_confidence",
            "language_confidence",
            "at least",
            "uncertain_language",
            "its language is recognised with confidence {figure:.2f}, less than {limit:.2f}",
        ),
    ),
    "gopher_quality": (
        Check(
            "min_words",
            "real_words",
            "at least",
            "gopher_too_few_words",
            "{figure:,.0f} words, fewer than {limit:,.0f}",
        ),
        Check(
            "max_words",
            "real_words",
            "at most",
            "gopher_too_many_words",
            "{figure:,.0f} words, more than {limit:,.0f}",
        ),
        Check(
            "min_mean_word_length",
            "mean_word_length",
            "at least",
            "gopher_short_words",
            "its words have {figure:.2f} characters on average, fewer than {limit:g}",
            spaced=True,
        ),
        Check(
            "max_mean_word_length",
            "mean_word_length",
            "at most",
            "gopher_long_words",
            "its words have {figure:.2f} characters on average, more than {limit:g}",
            spaced=True,
        ),
        Check(
            "max_hash_word_ratio",
            "hash_word_ratio",
            "at most",
            "gopher_hashes",
            "{figure:.2f} signs # for each word, more than {limit:g}",
        ),
        Check(
            "max_ellipsis_word_ratio",
            "ellipsis_word_ratio",
            "at most",
            "gopher_ellipses",
            "{figure:.2f} ellipses for each word, more than {limit:g}",
        ),
        Check(
            "max_bullet_line_share",
            "bullet_line_share",
            "at most",
            "gopher_bullet_lines",
            "{figure:.1%} of its lines begin with a bullet, more than {limit:.1%}",
        ),
        Check(
            "max_ellipsis_line_share",
            "ellipsis_line_share",
            "at most",
            "gopher_ellipsis_lines",
            "{figure:.1%} of its lines end in an ellipsis, more than {limit:.1%}",
        ),
        Check(
            "min_letter_word_share",
            "letter_word_share",
            "at least",
            "gopher_words_without_letters",
            "{figure:.1%} of its words have a letter, fewer than {limit:.1%}",
        ),
        Check(
            "min_stop_words",
            STOP_WORD_FIGURE,
            "at least",
            "gopher_stop_words",
            "stop words of its language: {figure:.0f}, fewer than {limit:.0f}",
            spaced=True,
        ),
    ),
    "gopher_repetition": (
        Check(
            "max_duplicate_paragraph_share",
            "duplicate_paragraph_share",
            "at most",
            "gopher_duplicate_paragraphs",
            "{figure:.1%} of its paragraphs stood before, more than {limit:.1%}",
        ),
        Check(
            "max_duplicate_paragraph_character_share",
            "duplicate_paragraph_character_share",
            "at most",
            "gopher_duplicate_paragraph_characters",
            "paragraphs that stood before make {figure:.1%} of it, more than {limit:.1%}",
        ),
        Check(
            "max_duplicate_line_share",
            "duplicate_line_share",
            "at most",
            "gopher_duplicate_lines",
            "{figure:.1%} of its lines stood before, more than {limit:.1%}",
        ),
        Check(
            "max_duplicate_line_character_share",
            "duplicate_line_character_share",
            "at most",
            "gopher_duplicate_line_characters",
            "lines that stood before make {figure:.1%} of it, more than {limit:.1%}",
        ),
        *_gopher_ngrams(),
    ),
    "c4": (
        Check(
            "max_lorem_ipsum",
            "lorem_ipsum",
            "at most",
            "c4_lorem_ipsum",
            'times that it says "lorem ipsum": {figure:,.0f}, more than {limit:,.0f}',
        ),
        Check(
            "max_curly_brackets",
            "curly_brackets",
            "at most",
            "c4_curly_brackets",
            "curly brackets: {figure:,.0f}, more than {limit:,.0f}",
        ),
        Check(
            "min_sentences",
            "sentences",
            "at least",
            "c4_too_few_sentences",
            "sentences: {figure:,.0f}, fewer than {limit:,.0f}",
        ),
        Check(
            "max_bad_words",
            "bad_words",
            "at most",
            "c4_bad_words",
            "words of the list: {figure:,.0f}, more than {limit:,.0f}",
        ),
    ),
    "fineweb": (
        Check(
            "min_punctuated_line_share",
            "punctuated_line_share",
            "at least",
            "fineweb_unpunctuated_lines",
            "{figure:.1%} of its lines end a sentence, fewer than {limit:.1%}",
        ),
        Check(
            "max_short_line_share",
            "short_line_share",
            "at most",
            "fineweb_short_lines",
            "{figure:.1%} of its lines are short, more than {limit:.1%}",
            spaced=True,
        ),
        Check(
            "max_duplicate_line_text_share",
            "duplicate_line_text_share",
            "at most",
            "fineweb_duplicate_lines",
            "lines that stood before make {figure:.1%} of its text, more than {limit:.1%}",
        ),
        Check(
            "max_newline_word_ratio",
            "newline_word_ratio",
            "at most",
            "fineweb_list",
            "{figure:.2f} newlines for each word, more than {limit:g}: a list",
        ),
    ),
    "classifier": (
        Check(
            "min_probability",
            "quality_probability",
            "at least",
            "classifier_low_quality",
            "good with probability {figure:.3f}, less than {limit:g}",
        ),
    ),
}
"""Every filter by name, which is also that of its recipe table."""

CHECKS: Mapping[str, Check] = {check.reason: check for checks in FILTERS.values() for check in checks}
"""Every check by its reason."""

Limit = float | tuple[str, ...]


def explain(reason: str, figure: float, limit: Limit) -> str:
    """Why a document was rejected, as one sentence for a person, without a full stop."""
    shown = " or ".join(limit) if isinstance(limit, tuple) else limit
    return CHECKS[reason].sentence.format(figure=figure, limit=shown)
