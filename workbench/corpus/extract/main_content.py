"""The main content of a page: which of its blocks are the article, and which are beside it.

    worth       how much each block speaks for being content: its length without links, if it reads like prose
    beside      what an element says it is (menu, comments, hidden) holds, unless most of the page is in it
    container   from the body down, as long as one child holds most of the worth and is no chapter of what is there;
                then up again to what calls itself the article
    chosen      the blocks of worth in it, the short ones between them, and a lead between the title and it

Content by the weight of text blocks goes back to Pasternack & Roth (2009, maximum subsequence) and boilerpipe
(Kohlschütter et al. 2010); names of classes to Readability. Every step is one pass over blocks or elements. The
numbers were chosen on news, blogs and documentation, where moving any of them by a quarter changes F1 by 0.015 at most.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from workbench.corpus.extract.page_blocks import (
    BOILERPLATE_TAGS,
    CONTENT_BY_NAME,
    HIDDEN,
    Blocks,
)

PROSE_CHARACTERS = 80
"""A block of so many characters beside its links reads like prose, however it ends."""
SENTENCE_CHARACTERS = 40
"""So does one of so many that ends like a sentence."""
MOST_WORTH = 1500.0
"""A block is worth no more: one long legal notice is not the article."""
HEADING_CHARACTERS = 200
"""A heading that is longer is a paragraph."""
LINKED_CHARACTERS = 60
"""A block that is mostly links is still prose with so many characters beside them."""
MOST_AGAINST = -30.0
LITTLE_AGAINST = -5.0
"""A short block: kept between blocks of worth, never by itself."""

BESIDE_SHARE = 0.4
"""An element that holds more of the page's worth is not beside it, whatever its class says."""
HIDDEN_SHARE = 0.75
"""The same for a hidden one: some pages are only shown by their script."""
CONTAINER_SHARE = 0.65
CONTAINER_BLOCKS = 2
CONTENT_FACTORS = (1.0, 2.0, 3.0)
"""How much more a block is worth inside an <article> or <main>, and inside what is called `article-body` or so."""
CLIMB_ELEMENTS = 2
CLIMB_GAIN = 1.6
LEAD_CHARACTERS = 100
LEAD_BLOCKS = 30
SHORT_TEXT = 500.0
SHORTEST_TEXT = 250.0
"""With less than this worth of text, what classes say is left aside: they seem to say something else here."""

_SENTENCE_END = re.compile(r"[.!?:;…。！？\"”»’')\]]\Z")
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))


def main_text(blocks: Blocks) -> str:
    """The text of the main content of a page; empty when there is no text in it."""
    return rendered(blocks, chosen(blocks))


def all_text(blocks: Blocks) -> str:
    """All text of a page that is neither hidden nor part of a form."""
    is_left_out = [
        flag == HIDDEN or tag == "form" for flag, tag in zip(blocks.beside, blocks.tags, strict=True)
    ]
    for element in range(1, len(is_left_out)):
        is_left_out[element] |= is_left_out[blocks.parents[element]]
    return rendered(
        blocks, [block for block, element in enumerate(blocks.elements) if not is_left_out[element]]
    )


def rendered(blocks: Blocks, chosen_blocks: Sequence[int]) -> str:
    """Blocks as text: a blank line between two, list items as lines of `- `, cells of a row apart by ` | `."""
    parts: list[str] = []
    before = -1
    for block in chosen_blocks:
        element = blocks.elements[block]
        tag, text = blocks.tags[element], blocks.texts[block]
        if tag == "li":
            between = "\n" if before >= 0 and blocks.tags[before] == "li" else "\n\n"
            text = f"- {text}"
        elif tag in ("td", "th") and before >= 0 and blocks.tags[before] in ("td", "th"):
            same_row = blocks.parents[before] == blocks.parents[element]
            between = " | " if same_row else "\n"
        else:
            between = "\n\n"
        parts += [between, text] if parts else [text]
        before = element
    return "".join(parts)


def chosen(blocks: Blocks) -> list[int]:
    """The blocks that are the main content, in order."""
    worth = worth_of(blocks)
    sums = _sums(blocks, worth)
    found = _choice(blocks, worth, sums, ignored=())
    if found.worth < SHORTEST_TEXT:
        anyway = _choice(blocks, worth, sums, ignored=(1, HIDDEN))
        if anyway.worth > found.worth:
            return anyway.blocks
    return found.blocks


def worth_of(blocks: Blocks) -> list[float]:
    """How much each block speaks for being content; below 0 against it."""
    return [
        _worth(text, links, blocks.tags[element])
        for text, links, element in zip(blocks.texts, blocks.link_characters, blocks.elements, strict=True)
    ]


def _worth(text: str, links: int, tag: str) -> float:
    length = len(text)
    beside_links = length - links
    if length > 30 and " " not in text and text.isascii():
        return LITTLE_AGAINST  # an address or a file name
    if 2 * links > length:
        if beside_links >= LINKED_CHARACTERS and length >= 2 * LINKED_CHARACTERS:
            return beside_links * 0.5
        return max(MOST_AGAINST, length * -0.5)
    if tag in _HEADINGS:
        return beside_links * 0.5 if length >= HEADING_CHARACTERS else 0.0
    if beside_links >= PROSE_CHARACTERS:
        return min(beside_links, MOST_WORTH) * (1 - links / length)
    if length >= SENTENCE_CHARACTERS and _SENTENCE_END.search(text):
        return beside_links * 0.8
    return beside_links * 0.5 if tag in ("p", "pre") else LITTLE_AGAINST


@dataclass(frozen=True, slots=True)
class _Choice:
    """Blocks in order, and what those of worth among them are worth together."""

    blocks: list[int]
    worth: float


def _choice(
    blocks: Blocks, worth: Sequence[float], sums: Sequence[float], *, ignored: Collection[int]
) -> _Choice:
    """The blocks of the container; classes that say it is beside by a flag in `ignored` are not believed."""
    is_beside = _beside(blocks, sums, ignored)
    container = _container(blocks, worth, is_beside)
    is_inside = [False] * len(blocks.tags)
    is_inside[container] = True
    for element in range(container + 1, len(is_inside)):
        is_inside[element] = is_inside[blocks.parents[element]]
    members = [
        block
        for block, element in enumerate(blocks.elements)
        if is_inside[element] and not is_beside[element]
    ]
    of_worth = [block for block in members if worth[block] > 0]
    if not of_worth:
        return _Choice(members, 0.0)
    total = sum(worth[block] for block in of_worth)
    if total < SHORT_TEXT and blocks.content[container] == CONTENT_BY_NAME:
        return _Choice(members, total)
    lead = _lead(blocks, worth, of_worth[0], is_beside, is_inside)
    first = lead[0] if lead else of_worth[0]
    return _Choice(_without_loose_ends(blocks, worth, [*lead, *members], first, of_worth[-1]), total)


def _beside(blocks: Blocks, sums: Sequence[float], ignored: Collection[int]) -> list[bool]:
    """Which elements are beside the content, or within one that is."""
    is_beside = [False] * len(blocks.tags)
    for element in range(1, len(is_beside)):
        flag = blocks.beside[element]
        if flag in ignored and blocks.tags[element] not in BOILERPLATE_TAGS:
            flag = 0
        share = HIDDEN_SHARE if flag == HIDDEN else BESIDE_SHARE
        is_beside[element] = is_beside[blocks.parents[element]] or (
            flag > 0 and sums[element] < share * sums[0]
        )
    return is_beside


def _container(blocks: Blocks, worth: Sequence[float], is_beside: Sequence[bool]) -> int:
    """The innermost element with most of the worth, or one round it that says it is the article."""
    parents, content = blocks.parents, blocks.content
    factors = [CONTENT_FACTORS[0]] * len(parents)
    for element in range(1, len(parents)):
        factors[element] = max(factors[parents[element]], CONTENT_FACTORS[content[element]])
    weighted = [value * factors[element] for value, element in zip(worth, blocks.elements, strict=True)]
    sums = _sums(blocks, weighted, is_beside)
    counts = _sums(blocks, [1.0 if value > 0 else 0.0 for value in worth], is_beside)
    heaviest = [0] * len(parents)
    for element in range(1, len(parents)):
        parent = parents[element]
        if heaviest[parent] == 0 or sums[element] > sums[heaviest[parent]]:
            heaviest[parent] = element
    titles = _titles(blocks, is_beside)
    at = 0
    while (child := heaviest[at]) and sums[at] > 0 and sums[child] >= CONTAINER_SHARE * sums[at]:
        if counts[child] < CONTAINER_BLOCKS and content[child] != CONTENT_BY_NAME:
            break  # a single paragraph contains nothing
        if 0 < titles[at] < titles[child]:
            break  # a long chapter is not the whole text
        at = child
    container, limit = at, CLIMB_GAIN * sums[at]
    for _ in range(CLIMB_ELEMENTS):
        at = parents[at] if at > 0 else 0
        if at > 0 and content[at] and sums[at] <= limit:
            container = at
    return container


def _titles(blocks: Blocks, is_beside: Sequence[bool]) -> list[int]:
    """By element, the level of the heading that it begins with; 0 where it begins with something else."""
    first = [len(blocks.elements)] * len(blocks.tags)
    levels = [0] * (len(blocks.elements) + 1)
    for block, element in enumerate(blocks.elements):
        if not is_beside[element]:
            first[element] = min(first[element], block)
            levels[block] = int(tag[1]) if (tag := blocks.tags[element]) in _HEADINGS else 0
    for element in range(len(first) - 1, 0, -1):
        parent = blocks.parents[element]
        first[parent] = min(first[parent], first[element])
    return [levels[block] for block in first]


def _sums(blocks: Blocks, values: Sequence[float], is_left_out: Sequence[bool] | None = None) -> list[float]:
    """By element, the sum of what is positive of `values` in it."""
    sums = [0.0] * len(blocks.tags)
    for value, element in zip(values, blocks.elements, strict=True):
        if value > 0 and not (is_left_out and is_left_out[element]):
            sums[element] += value
    for element in range(len(sums) - 1, 0, -1):
        sums[blocks.parents[element]] += sums[element]
    return sums


def _lead(
    blocks: Blocks, worth: Sequence[float], first: int, is_beside: Sequence[bool], is_inside: Sequence[bool]
) -> list[int]:
    """Blocks of prose between the title and the container; none where no title stands before it."""
    lead: list[int] = []
    for block in range(first - 1, max(-1, first - 1 - LEAD_BLOCKS), -1):
        element = blocks.elements[block]
        if is_beside[element]:
            continue
        if blocks.tags[element] in ("h1", "h2"):
            return lead[::-1]
        if worth[block] >= LEAD_CHARACTERS and not is_inside[element]:
            lead.append(block)
    return []


def _without_loose_ends(
    blocks: Blocks, worth: Sequence[float], members: Sequence[int], first: int, last: int
) -> list[int]:
    """`members` of worth, short ones from `first` to `last`, and headings that stand above one that is kept."""
    kept: list[int] = []
    is_next_kept = False
    for block in reversed(members):
        is_between = first <= block <= last
        if blocks.tags[blocks.elements[block]] in _HEADINGS and worth[block] <= 0:
            if is_next_kept and block >= first:
                kept.append(block)
            continue
        is_next_kept = worth[block] > 0 or (is_between and worth[block] >= LITTLE_AGAINST)
        if is_next_kept:
            kept.append(block)
    return kept[::-1]
