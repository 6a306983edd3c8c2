"""The quality filters of a corpus: one table each, every threshold a key with the value of its paper.

What each check compares, and what a document that fails it is rejected as, is in filter_rules.py. Thresholds only
decide: after a change documents are filtered again by the figures that were measured, and nothing is read again.
The few keys that change what is measured say so.

Every threshold was compared with datatrove 0.10.1 (pipeline/filters/), which made FineWeb, and is the same.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from workbench.filter_rules import STOP_WORDS
from workbench.recipe_fields import (
    Bytes,
    Count,
    Flag,
    NaturalFloat,
    NaturalInt,
    PositiveInt,
    Share,
    Table,
    Text,
)

LanguageCode = Annotated[str, Field(min_length=2, max_length=16, pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
StopWord = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^\S+$")]

StopWords = Annotated[
    dict[LanguageCode, Annotated[tuple[StopWord, ...], Field(min_length=1, max_length=256)]],
    Field(max_length=64),
]


class Length(Table):
    """Documents too short to learn from, and dumps."""

    min_characters: NaturalInt = 40
    """Documents with fewer characters are rejected: too little to learn from."""
    max_characters: Count = 10_000_000
    """Documents with more characters are rejected: usually a dump, not a text."""


class Language(Table):
    """Documents in languages that are not wanted."""

    languages: Annotated[tuple[LanguageCode, ...], Field(min_length=1, max_length=256)] = ("en",)
    """Keep documents in these languages, by ISO 639-1 code."""
    min_confidence: Share = 0.65
    """Reject what the language is not recognised in with this confidence (FineWeb's threshold, Penedo et al. 2024)."""
    model: Text | None = None
    """A fastText model of your own whose labels are languages (`__label__en`), relative to the recipe, instead of
    the model that comes with Workbench and knows 138. Changes what is measured."""


class WordFilter(Table):
    """Keys of the filters that look at words."""

    max_unspaced_share: Share = 0.3
    """Length of words, stop words, runs of words and short lines say nothing of Chinese, Japanese, Thai, Lao, Khmer,
    Burmese or Tibetan, which are written without spaces. Where more than this share of the letters belongs to such a
    script, those checks do not judge the document; how many were not judged is in the report."""


class GopherQuality(WordFilter):
    """Is it prose? The quality rules of Gopher (Rae et al. 2021, table A1), with its thresholds."""

    min_words: NaturalInt = 50
    """Words, not counting those of punctuation alone."""
    max_words: Count = 100_000
    """More words than this are a dump or a book: raise it for books."""
    min_mean_word_length: NaturalFloat = 3.0
    """Mean characters of a word, its punctuation included."""
    max_mean_word_length: NaturalFloat = 10.0
    """Mean characters of a word, its punctuation included."""
    max_hash_word_ratio: NaturalFloat = 0.1
    """Signs # for each word."""
    max_ellipsis_word_ratio: NaturalFloat = 0.1
    """Ellipses (`...` or `…`) for each word."""
    max_bullet_line_share: Share = 0.9
    """Share of lines that begin with a bullet (`•`, `●`, `‣`, `*` or `-`). Blank lines are no lines."""
    max_ellipsis_line_share: Share = 0.3
    """Share of lines that end in an ellipsis."""
    min_letter_word_share: Share = 0.8
    """Share of words with a letter in them. Lower it for tables and code."""
    min_stop_words: NaturalInt = 2
    """How many different stop words there must be."""
    stop_words: StopWords = STOP_WORDS
    """The stop words of each language, as they are written. Documents whose language was identified are judged by its
    list, and not at all where it has none; without a `language` filter or figure any list will do. Changes what is
    measured."""


class GopherRepetition(WordFilter):
    """Does it repeat itself? The repetition rules of Gopher (Rae et al. 2021, table A1), with its thresholds."""

    max_duplicate_paragraph_share: Share = 0.3
    """Share of paragraphs that stood before in the document."""
    max_duplicate_paragraph_character_share: Share = 0.2
    """Share of the characters that stand in such paragraphs."""
    max_duplicate_line_share: Share = 0.3
    """Share of lines that stood before in the document."""
    max_duplicate_line_character_share: Share = 0.2
    """Share of the characters that stand in such lines."""
    max_top_2_gram_share: NaturalFloat = 0.2
    """Share of the characters in all copies of the most frequent run of 2 words."""
    max_top_3_gram_share: NaturalFloat = 0.18
    """The same of 3 words."""
    max_top_4_gram_share: NaturalFloat = 0.16
    """The same of 4 words."""
    max_duplicate_5_gram_share: Share = 0.15
    """Share of the characters in runs of 5 words that stood before, no character counted twice."""
    max_duplicate_6_gram_share: Share = 0.14
    """The same of 6 words."""
    max_duplicate_7_gram_share: Share = 0.13
    """The same of 7 words."""
    max_duplicate_8_gram_share: Share = 0.12
    """The same of 8 words."""
    max_duplicate_9_gram_share: Share = 0.11
    """The same of 9 words."""
    max_duplicate_10_gram_share: Share = 0.1
    """The same of 10 words."""


class C4(Table):
    """What C4 asks of a page (Raffel et al. 2020, section 2.2); its rules for lines are in c4_lines."""

    max_lorem_ipsum: NaturalInt = 0
    """How often "lorem ipsum" may stand in it."""
    max_curly_brackets: NaturalInt = 0
    """How many `{` may stand in it: C4 takes them for code. Raise it where code is welcome."""
    min_sentences: NaturalInt = 5
    """Sentences, after lines were dropped."""
    bad_words: Annotated[tuple[Text, ...], Field(max_length=64)] = ()
    """Files with a word or phrase on each line, relative to the recipe, that a page must not contain; in lower or
    upper case, between other characters than letters. C4 took the lists of LDNOOBW; none comes with Workbench.
    Changes what is measured."""
    max_bad_words: NaturalInt = 0
    """How often one of bad_words may stand in it."""


class C4Lines(Table):
    """C4's rules for lines (Raffel et al. 2020, section 2.2): lines that fail are cut out of the text, and blank lines
    and indentation with them. For web pages; never for code, verse or tables. Changes the text."""

    terminal_punctuation: Flag = True
    """Drop lines that do not end a sentence: in `. ! ?`, a quotation mark, or the full stop of another script; `...`
    ends none. FineWeb left this rule out, for it takes nearly a third of the text (Penedo et al. 2024)."""
    min_words: NaturalInt = 3
    """Drop lines with fewer words."""
    max_word_characters: PositiveInt = 1000
    """Drop lines with a longer word."""
    javascript: Flag = True
    """Drop lines that say "javascript": most are warnings that it should be enabled."""
    policy: Flag = True
    """Drop lines that name terms of use, a privacy or cookie policy, or the use of cookies."""
    citations: Flag = True
    """Take out Wikipedia's marks: `[1]`, `[]`, `[edit]`, `[citation needed]`."""


class FineWeb(WordFilter):
    """Is it a list or boilerplate? FineWeb's own filters (Penedo et al. 2024, section 3.6 and appendix E.4), with the
    thresholds of the code that made it (datatrove, FineWebQualityFilter)."""

    min_punctuated_line_share: Share = 0.12
    """Share of lines that end with terminal punctuation."""
    max_short_line_share: Share = 0.67
    """Share of short lines."""
    short_line_characters: PositiveInt = 30
    """A line with so many characters or fewer is short. Changes what is measured."""
    max_duplicate_line_text_share: Share = 0.01
    """Share of the characters, newlines not counted, in lines that stood before. 0.01 made FineWeb and stands in
    appendix E.4; the paper's section 3.6 says 0.1, which FineWeb-2 took."""
    max_newline_word_ratio: NaturalFloat = 0.3
    """Newlines for each word."""


class Classifier(Table):
    """A fastText classifier of quality: trained here from good and bad examples, or one that is ready."""

    min_probability: Share = 0.5
    """Keep documents that are good with this probability. The report of a training shows what each value would keep."""
    model: Text | None = None
    """A ready fastText model (.bin or .ftz), relative to the recipe, instead of examples."""
    good: Annotated[tuple[Text, ...], Field(max_length=256)] = ()
    """Examples of good documents: files, folders or globs as in sources, or entries of sources themselves."""
    bad: Annotated[tuple[Text, ...], Field(max_length=256)] = ()
    """Examples of bad documents."""
    label: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^\S+$")] = "good"
    """The label that means good, without `__label__`: of a ready model, its own name for it."""
    max_bytes: Bytes = 50_000_000
    """Learn from at most this much text of each kind, chosen by a hash of the text."""
    heldout_fraction: Annotated[float, Field(gt=0, le=0.5, allow_inf_nan=False, strict=True)] = 0.1
    """Share of the examples that the classifier is measured on, not trained on; chosen by a hash of the text."""
    dim: Annotated[int, Field(ge=1, le=1024, strict=True)] = 16
    """Width of a word's vector."""
    word_ngrams: Annotated[int, Field(ge=1, le=5, strict=True)] = 2
    """Runs of up to so many words are features."""
    buckets: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] = 100_000
    """Runs of words are hashed into so many vectors: the model is about (words + buckets) x dim x 4 bytes."""
    min_count: PositiveInt = 2
    """Words that stand less often in all examples together are left out."""
    epochs: PositiveInt = 10
    """Passes over the examples."""
    learning_rate: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False, strict=True)] = 0.5
    """It falls to zero over the training."""
    seed: NaturalInt = 0
    """Seed of the vectors. The same examples and seed give the same model."""
