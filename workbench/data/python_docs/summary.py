"""One clean line out of a docstring, and when two texts say the same. Knows text only, no symbols."""

from __future__ import annotations

import re

MIN_WORDS = 3
MAX_CHARACTERS = 220
"""About 55 tokens: one sentence that can still be answered in one breath."""

MAX_LINE = 1000
"""Nothing longer is a line of documentation; keeps other people's generated strings from costing time."""

_ROLE = re.compile(r":(?:py:)?[a-z]+:`~?\.?([^`]+)`")  # :class:`.Path` -> `Path`
_LINK = re.compile(r"\s*<https?://[^>]*>")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
_ABBREVIATION = re.compile(r"\b(?:\w|e\.g|i\.e|etc|vs|cf|resp|approx|incl|aka|Dr|St|no|a\.k\.a)\.$")
_UNFINISHED = re.compile(
    r"(?:[:;,(\[{=<-]|\b(?:an|the|of|to|and|or|is|are|for|with|by|as|in|on|that|which))$"
)
_NOISE = re.compile(r"\b(?:TODO|XXX|FIXME)\b|>>>|={3,}|-{3,}|https?:|::|->|=>|^Usage\b|:\s-\s")
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """The words of `text`, lower case, without punctuation: `os.path_x` -> os, path, x."""
    return _WORD.findall(text.casefold())


def folded(text: str) -> str:
    """`text` as its words with single spaces: equal for texts that differ in case, layout or punctuation."""
    return " ".join(words(text))


def similarity(first: str, second: str) -> float:
    """Shared words over all words (Jaccard), 0 to 1; 1 for two texts without words."""
    one, two = set(words(first)), set(words(second))
    return len(one & two) / len(one | two) if one | two else 1.0


def summarize(doc: str) -> str:
    """The first sentence of `doc` on one line, ending with a full stop; "" where there is no clean one.

    Clean: 3 words or more, at most MAX_CHARACTERS, brackets and quotes closed, not leading up to a list.
    """
    paragraph = re.split(r"\n\s*\n", doc.strip(), maxsplit=1)[0]
    plain = _LINK.sub("", _ROLE.sub(r"`\1`", paragraph)).replace("``", "`").replace("`'", "'")
    line = _first_sentence(" ".join(plain[:MAX_LINE].split()))
    if line and line[-1] not in ".!?":
        line += "."
    return line if line and _is_clean(line) else ""


def _first_sentence(line: str) -> str:
    for match in _SENTENCE_END.finditer(line):
        sentence = line[: match.end()]
        if not _ABBREVIATION.search(sentence) and sentence.count("(") <= sentence.count(")"):
            return sentence
    return line


def _is_clean(line: str) -> bool:
    opened, closed = (sum(line.count(bracket) for bracket in brackets) for brackets in ("([{", ")]}"))
    return (
        len(line.split()) >= MIN_WORDS
        and len(line) <= MAX_CHARACTERS
        and (line[0].isalpha() or line[0] in "`'\"")
        and line.isprintable()
        and not _UNFINISHED.search(line[:-1].rstrip())
        and not _NOISE.search(line)
        and opened == closed  # together, because of half-open intervals: [0, 1)
        and line.count("`") % 2 == 0
        and line.count('"') % 2 == 0
    )


# -- docstrings that open with how to call ------------------------------------------------------------

_CALL = re.compile(r"^(?:\w+\.)*(?P<name>\w+)(?P<arguments>\(.*?\))\s*(?P<after>(?:-+>|--?\s|:).*)?$")
_RETURNS = re.compile(r"^(?:-+>|:)\s*")
_SAYS = re.compile(r"^--?\s+")
_TYPE = re.compile(r"^[\w\[\], .|()'\"/-]*?(?:\s--\s+|\.\s+|\s-\s+|(?<=^\w),\s+)(?=\S)")


def split_signature(doc: str, last_name: str) -> tuple[str, str]:
    """(arguments, rest) of a docstring that opens with how to call `last_name`; ("", doc) otherwise.

    >>> split_signature("getattr(object, name) -> value\\n\\nGet a named attribute.", "getattr")
    ('(object, name)', 'Get a named attribute.')
    >>> split_signature("D.clear() -> None.  Remove all items from D.", "clear")
    ('()', 'Remove all items from D.')
    """
    lines = doc.split("\n")
    arguments, beside = "", ""
    while lines and (match := _call_of(last_name, lines[0])):
        said = (match["after"] or "").strip()
        del lines[0]
        while lines and _goes_on(lines[0], said, last_name):
            said += " " + lines.pop(0).strip()
        arguments, beside = arguments or match["arguments"], beside or said
    if not arguments:
        return "", doc
    below = "\n".join(lines).strip("\n")
    told = _said_beside(beside, alone=not below)
    return arguments, f"{told}\n\n{below}".strip("\n") if told else below


def _call_of(last_name: str, line: str) -> re.Match[str] | None:
    """The match if `line` is a call of `last_name`, on whatever object, with what it returns or does."""
    match = _CALL.match(line.strip()) if last_name in line and len(line) < MAX_LINE else None
    return match if match is not None and match["name"] == last_name else None


def _goes_on(line: str, said: str, last_name: str) -> bool:
    """Whether `line`, below a call, still belongs to what was said beside that call."""
    return bool(line.strip()) and (bool(said) or line.startswith(" ")) and not _call_of(last_name, line)


def _said_beside(text: str, *, alone: bool) -> str:
    """What `-> None.  Remove all items.` or `-- remove all items` says besides the type, or ""."""
    if _SAYS.match(text):
        told = _SAYS.sub("", text)
        return told[:1].upper() + told[1:]
    result = _RETURNS.sub("", text)
    told = _TYPE.sub("", result, count=1)
    if told != result or told[:1].isupper():
        return told[:1].upper() + told[1:]
    if alone and len(words(told)) >= MIN_WORDS:
        return "Return " + told.removeprefix("return ")
    return ""
