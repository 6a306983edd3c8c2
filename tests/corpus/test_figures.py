from __future__ import annotations

import hashlib
import random
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.corpus.figures import VERSION, FigureSettings, equality, figure_names, layout, measure
from workbench.corpus.figures import characters as kinds
from workbench.corpus.figures.equality import repeated, span_hashes, text_hash

TERMINALS = frozenset(kinds.terminals())


# The figures the slow and obvious way: character by character, with sets and dicts.


def is_unspaced(letter: str) -> bool:
    code = ord(letter)
    inside = any(first <= code <= last for first, last in kinds._UNSPACED_RANGES)
    return inside and unicodedata.category(letter)[0] in "LM"


def is_word_character(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "LMN"


def words_of(text: str) -> list[str]:
    words = []
    for piece in text.split():
        word = ""
        for letter in piece:
            category = unicodedata.category(letter)[0]
            begins = is_unspaced(letter) and category == "L"
            begins |= bool(word) and is_unspaced(word[-1]) and category in "LN"
            if begins and word:
                words.append(word)
                word = ""
            word += letter
        words.append(word)
    return words


def paragraphs_of(text: str) -> list[str]:
    found: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            found[-1].append(line)
        else:
            found.append([])
    return ["\n".join(lines) for lines in found if lines]


def copies(parts: list[str]) -> tuple[int, int]:
    seen: set[str] = set()
    count = size = 0
    for part in parts:
        count += part in seen
        size += len(part) if part in seen else 0
        seen.add(part)
    return count, size


def top_ngram(words: list[str], n: int) -> int:
    grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    if not grams or max(grams.values()) < 2:
        return 0
    gram, count = grams.most_common(1)[0]
    return count * len(" ".join(gram))


def duplicate_ngrams(words: list[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    size = at = 0
    while at + n <= len(words):
        gram = tuple(words[at : at + n])
        if gram in seen:
            size += len("".join(gram))
            at += n
        else:
            seen.add(gram)
            at += 1
    return size


def sentences_of(line: str) -> int:
    closing = [
        c in TERMINALS or c in kinds.QUOTES or unicodedata.category(c) in ("Pe", "Pf") for c in line
    ] + [False]
    count = at = last_end = 0
    while at < len(line):
        if not closing[at]:
            at += 1
            continue
        end = at
        while closing[end]:
            end += 1
        run = line[at:end]
        followed = end == len(line) or line[end].isspace()
        if (any(c in TERMINALS for c in run) and followed) or any(
            c in TERMINALS and ord(c) > 0x7F for c in run
        ):
            count += 1
            last_end = end
        at = end
    return count + bool(line[last_end:].strip())


def slow_figures(text: str, stop_words: Sequence[str], short: int) -> dict[str, float]:
    words = words_of(text)
    real = [word for word in words if any(map(is_word_character, word))]
    lines = [line for line in text.split("\n") if line.strip()]
    paragraphs = paragraphs_of(text)
    letters = [c for c in text if c.isalpha()]
    line_copies, line_copy_size = copies(lines)
    paragraph_copies, paragraph_copy_size = copies(paragraphs)

    def share(part: float, whole: float) -> float:
        return part / whole if whole else 0.0

    figures: dict[str, float] = {
        "characters": len(text),
        "words": len(words),
        "real_words": len(real),
        "mean_word_length": share(sum(map(len, real)), len(real)),
        "letter_word_share": share(sum(any(c.isalpha() for c in word) for word in words), len(words)),
        "hash_word_ratio": share(text.count("#"), len(words)),
        "ellipsis_word_ratio": share(text.count("...") + text.count("…"), len(words)),
        "newline_word_ratio": share(text.count("\n"), len(words)),
        "unspaced_share": share(sum(map(is_unspaced, letters)), len(letters)),
        "stop_words_en": len(set(words) & set(stop_words)),
        "bullet_line_share": share(sum(line.lstrip()[0] in kinds.BULLETS for line in lines), len(lines)),
        "ellipsis_line_share": share(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        "punctuated_line_share": share(sum(line.rstrip()[-1] in TERMINALS for line in lines), len(lines)),
        "short_line_share": share(sum(len(line) <= short for line in lines), len(lines)),
        "lines": len(lines),
        "paragraphs": len(paragraphs),
        "duplicate_line_share": share(line_copies, len(lines)),
        "duplicate_line_character_share": share(line_copy_size, len(text)),
        "duplicate_line_text_share": share(line_copy_size, len(text) - text.count("\n")),
        "duplicate_paragraph_share": share(paragraph_copies, len(paragraphs)),
        "duplicate_paragraph_character_share": share(paragraph_copy_size, len(text)),
    }
    for n in (2, 3, 4):
        figures[f"top_{n}_gram_share"] = share(top_ngram(words, n), len(text))
    for n in (5, 6, 7, 8, 9, 10):
        figures[f"duplicate_{n}_gram_share"] = share(duplicate_ngrams(words, n), len(text))
    figures["sentences"] = sum(map(sentences_of, lines))
    figures["curly_brackets"] = text.count("{")
    figures["lorem_ipsum"] = text.encode("ascii", "replace").decode().lower().count("lorem ipsum")
    return figures


def check(texts: list[str], **changed: Any) -> None:
    given_ = FigureSettings(**changed)
    columns = measure(texts, given_)
    assert tuple(columns) == figure_names(given_)
    for number, text in enumerate(texts):
        slow = slow_figures(text, given_.stop_words["en"], given_.short_line_characters)
        assert tuple(slow) == tuple(columns)
        for name, value in slow.items():
            column = columns[name]
            expected = value if column.dtype == np.uint32 else np.float32(value)
            assert column[number] == expected, (name, text[:200])


HOSTILE = [
    "",
    "\n",
    "\n" * 5000,
    " \t\n \r\n \u2003",
    ".",
    "...",
    "......\n… …\n. ..",
    "a",
    "a " * 3000,
    "a b c d e " * 700,
    ("the same line again\n" * 50 + "\n") * 20,
    "x" * 70_000,
    "word " * 15_000,
    "#### {{{{ }}}} LoReM iPsUm lorem ipsum",
    "• one\n* two\n- three\n ‣ four\n five",
    "😀 😀😀 👩‍👩‍👧 🇩🇪\n😀",
    "هذه جملة عربية. هل هي كذلك؟ نعم، هي كذلك.",
    "这是一个中文句子。这是另一个句子！这是一个中文句子。abc 12 个，完",
    "日本語のテキスト。カタカナとひらがな、漢字。「引用。」と言った。",
    "ภาษาไทยเขียนติดกันไม่มีช่องว่างระหว่างคำ และวรรคตอน",
    "བོད་སྐད་ ཡིག །",
    "e\u0301\u0301\u0301 a\u0300" + "\u0301" * 300,
    "\u0301\u0301 \u0e31\u0e31 中\u0301文",
    "one\u2028two\x85three\x0bfour\x0cfive\x1csix\u00a0seven\u3000eight",
    "\ud800 lone \udfff surrogates \ud83d",
    "\x00\x01\x1b[31m red \x7f \ufeff zero\u200bwidth \U000e0041\U0010ffff",
    "“Quoted.” (Closed.) «Fin.» He said “so” and went. 3.5 e.g. this",
    "ab" * 5000 + " " + "ab" * 5000,
    "line one is here\n  line one is here\nline one is here \nline one is here",
    "a b c d e f g h i j k a b c d e x y a b c d e f g h i j a b c d e f g h i j",
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_figures_of_hostile_texts_are_those_of_the_slow_way(number: int) -> None:
    check([HOSTILE[number]])


def test_texts_are_measured_together_as_if_alone() -> None:
    check(HOSTILE)
    check([text for text in HOSTILE if text.isascii()])


WORDS = st.sampled_from(
    [*"ab…。中文กำé\u0301#-•*{'\")!1\ud800😀", "bb", "the", "of", "and", "...", ".", "e\u0301"],
)
TEXTS = st.lists(
    st.one_of(WORDS, st.sampled_from([" ", " ", "\n", "\n", "\n\n", "\t", "\u2028"])), max_size=150
).map("".join)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(TEXTS, st.text(max_size=60)), max_size=5))
def test_figures_of_any_texts_are_those_of_the_slow_way(texts: list[str]) -> None:
    check(texts)


def prose(seed: int, words: int) -> str:
    """Sentences in lines and paragraphs with a small vocabulary, so that much stands twice."""
    draw = random.Random(seed)
    vocabulary = ["".join(draw.choices("aeiounrst", k=draw.randint(1, 8))) for _ in range(60)]
    parts = []
    for _ in range(words):
        parts.append(draw.choice([*vocabulary, "the", "of", "and", "café", "naïve"]))
        parts.append(draw.choices([" ", ". ", ".\n", "\n", "!\n\n", "... ", ", "], [20, 2, 2, 1, 1, 1, 2])[0])
    return "".join(parts)


def test_figures_of_prose_are_those_of_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [prose(seed, words) for seed, words in enumerate((10, 100, 1000, 5000, 3000))]
    texts += [text.replace("é", "e").replace("ï", "i") for text in texts]
    check(texts)
    monkeypatch.setattr(layout, "_TOGETHER", 1000)  # every text alone
    monkeypatch.setattr(equality, "_CHUNK", 64)
    equality._powers.cache_clear()
    text_hash.cache_clear()
    check(texts)
    equality._powers.cache_clear()
    text_hash.cache_clear()


def test_of_a_long_text_the_beginning_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    text = prose(1, 200)
    monkeypatch.setattr(layout, "MOST_CHARACTERS", 100)
    long, short = measure([text]), measure([text[:100]])
    assert long["characters"] == [len(text)]
    assert all(long[name] == short[name] for name in long if name != "characters")


def test_settings_change_what_is_measured() -> None:
    text = "der Hund und die Katze\nkurz\n"
    columns = measure([text], FigureSettings({"en": ("the",), "de": ("der", "und", "die", "der")}, 4))
    assert columns["stop_words_de"] == [3]
    assert columns["stop_words_en"] == [0]
    assert columns["short_line_share"] == [0.5]


def test_every_character_is_of_the_kind_unicode_says() -> None:
    flags = kinds._flags()
    for code in range(sys.maxunicode + 1):
        letter = chr(code)
        category = unicodedata.category(letter)
        expected = (
            kinds.WHITE * letter.isspace()
            | kinds.LETTER * letter.isalpha()
            | kinds.WORD * (category[0] in "LMN")
            | kinds.MARK * (category[0] == "M")
        )
        assert flags[code] & (kinds.WHITE | kinds.LETTER | kinds.WORD | kinds.MARK) == expected, hex(code)
    letters, of_ascii = kinds.flags_of("".join(map(chr, range(128))))
    assert of_ascii.tolist() == flags[:128].tolist()
    assert letters.tolist() == list(range(128))


def test_a_hash_is_that_of_the_text_wherever_it_stands() -> None:
    letters = np.frombuffer(("\n" + "needle and needles " * 9000 + "\n").encode(), np.uint8)
    starts = np.arange(1, len(letters) - 20, 19)
    hashes = span_hashes(letters, [(starts, starts + 6), (starts + 11, starts + 17)])
    assert {*hashes[0].tolist(), *hashes[1].tolist()} == {text_hash("needle")}
    assert text_hash("needles") != text_hash("needle") != text_hash("")


def test_keys_that_agree_in_their_upper_bits_are_not_the_same() -> None:
    """The place is packed over the low bits of a key; keys that differ only there must stay apart."""
    keys = np.array([7, 6, 7, 5, 6, 2**63, 7], np.uint64)
    found = repeated(keys, key_bits=64)
    assert found.places_R.tolist() == [0, 1, 2, 4, 6]
    assert found.groups_R.tolist() == [1, 0, 1, 0, 1]
    assert found.firsts_G.tolist() == [1, 0]
    assert found.counts_G.tolist() == [2, 3]


def test_figures_change_with_their_version_only() -> None:
    """If this fails, figures that lie in caches are no longer those that would be measured: raise VERSION."""
    texts = [prose(seed, 400) for seed in range(3)] + [text for text in HOSTILE if text.isascii()]
    columns = measure(texts)
    data = b"".join(name.encode() + columns[name].tobytes() for name in columns)
    assert (VERSION.partition("-")[0], hashlib.blake2b(data, digest_size=8).hexdigest()) == (
        "2",
        "41b4d0a968452885",
    )
