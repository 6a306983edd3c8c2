"""The tables of [corpus] that take copies and test items out of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from workbench.banding import candidate_probability
from workbench.recipe_fields import COSMETIC, Bytes, NaturalInt, PositiveInt, Share, Table, Text

Sets = Annotated[tuple[Text, ...], Field(max_length=256)]
Similarity = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, strict=True)]

MAX_PERMUTATIONS = 4096
SHOWN_SIMILARITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


class NearDuplicates(Table):
    """Documents that say nearly the same: found by MinHash (Broder 1997), verified, one kept of each cluster."""

    jaccard: Similarity = 0.75
    """How similar two documents must be to count as copies: the share of their word runs, of both together, that
    both have, compared exactly before anything is removed. 0.8 and more for copies with small edits (GPT-3 and
    RefinedWeb go by about 0.8), 0.75 as FineWeb; lower finds rewritten pages, and more that only share a template."""
    ngram: Annotated[int, Field(ge=1, le=64, strict=True)] = 5
    """Words of a run. Longer runs make one edited word count for more; 5 as in FineWeb. Case and punctuation do not
    count; a Chinese or Japanese character is a word."""
    bands: Annotated[int, Field(ge=1, le=1024, strict=True)] = 20
    """Two documents are compared when all hashes of one band agree. More bands find more, and compare more in vain;
    `plan` shows what share of pairs is found at which similarity."""
    rows: Annotated[int, Field(ge=1, le=256, strict=True)] = 6
    """Hashes of a band. More rows compare less in vain, and miss more near the threshold. bands × rows are the
    permutations, 4 bytes a document each in the cache."""
    keep: Literal["first", "longest"] = "first"
    """Which copy stays: the `first` in the order of the sources, so the better source goes first in `sources`; or
    the `longest` in words, the first among equals."""
    chains: Literal["cut", "whole"] = "cut"
    """Of A ~ B ~ C where A and C are not near: `cut` removes B and keeps C, so that whatever is removed is near
    something that stays; `whole` removes all that are linked to the one kept, over any number of steps."""
    against: Sets = ()
    """Corpora that are there already: their documents are never written, and what is near one of them goes. RUN, or
    the folder of a `documents` artifact. Exact copies of them go too."""
    seed: NaturalInt = 0
    """Which hash functions are drawn. Another seed finds other pairs near the threshold."""
    memory_bytes: Annotated[Bytes, Field(ge=1_000_000, json_schema_extra=COSMETIC)] = 64_000_000
    """What finding them may hold in memory, whatever the corpus; the rest lies on disk, about 700 bytes a document
    while it lasts and the word runs of those that are compared."""

    @model_validator(mode="after")
    def _not_too_many(self) -> NearDuplicates:
        if self.bands * self.rows > MAX_PERMUTATIONS:
            raise ValueError(
                f"bands x rows = {self.bands * self.rows} is above {MAX_PERMUTATIONS}; take fewer"
            )
        return self

    def found_share(self, jaccard: float) -> float:
        """The share of pairs of that similarity that are compared, and so found where they are near enough."""
        return candidate_probability(jaccard, bands=self.bands, rows=self.rows)

    def curve(self) -> dict[float, float]:
        """`found_share` at the similarities worth a look, the threshold among them."""
        return {each: self.found_share(each) for each in sorted({*SHOWN_SIMILARITIES, self.jaccard})}


class RepeatedParts(Table):
    """Paragraphs or lines that stand in many documents, such as menus and notices: later copies are cut out."""

    unit: Literal["paragraph", "line"] = "paragraph"
    """What is compared: what blank lines separate (CCNet, Wenzek et al. 2020), or each line. Lines catch menus and
    also cut through lists and code."""
    min_characters: NaturalInt = 40
    """Shorter ones always stay: headings, braces, `Yes.`"""
    copies: PositiveInt = 1
    """How many copies stay in the whole corpus, the first ones."""
    memory_bytes: Annotated[Bytes, Field(ge=1_000_000, json_schema_extra=COSMETIC)] = 64_000_000
    """What finding them may hold in memory; the rest lies on disk, 24 bytes a part."""


class Decontamination(Table):
    """Test items in training text: found by shared runs of words (GPT-3: Brown et al. 2020, appendix C)."""

    against: Annotated[Sets, Field(min_length=1)]
    """The evaluation sets: tasks by name, such as `python-names`, or files of records (.jsonl, .json, .parquet, also
    .gz and .zst) relative to the recipe, with text under query, question, prompt, text or the like and answers
    under choices, answer or the like. Name those of [eval] tasks: the scorecard then tells
    of items that were seen in training."""
    ngram: Annotated[int, Field(ge=4, le=64, strict=True)] = 13
    """Words of a run. 13 as GPT-3; shorter finds more, and more that is said by chance. Items below 8 words
    cannot be looked for; those from 8 to this are, as a whole."""
    min_share: Share = 0.0
    """A document gives an item away when at least this share of the runs of one of its passages, and at least
    one, stand in it: 0 counts any."""
    action: Literal["drop", "mark"] = "drop"
    """`drop` leaves such documents out of training; `mark` keeps them and writes down which items were seen."""
