from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.data.documents import Document
from workbench.data.passages import heldout_below, hold_out_passages, passage_characters, passages

NOVEL = Document(
    "novel.txt", "\n\n".join(f"Paragraph {i}. " + "It rained. " * 20 for i in range(100)), "novels"
)


@given(st.text(st.sampled_from("ab. \n"), max_size=200), st.integers(1, 50))
def test_passages_joined_are_the_text(text: str, characters: int) -> None:
    cut = list(passages(text, characters=characters))
    assert "".join(cut) == text
    assert all(0 < len(passage) <= characters for passage in cut)


def test_passages_end_with_paragraphs() -> None:
    *full, _ = passages(NOVEL.text, characters=1000)
    assert all(passage.endswith("\n\n") for passage in full)


def test_lengths_fit_the_corpus() -> None:
    assert passage_characters(100_000_000, 0.02) == 16_000
    assert passage_characters(1_000_000, 0.02) == 5_000
    assert passage_characters(100_000, 0.02) == 1_000
    assert passage_characters(11, 0.02) == 5


def split(document: Document, fraction: float) -> tuple[list[Document], list[Document]]:
    characters = passage_characters(len(document.text), fraction)
    below = heldout_below([document], characters=characters, fraction=fraction)
    parts = list(hold_out_passages(document, characters=characters, below=below))
    return [part for part in parts if not part.heldout], [part for part in parts if part.heldout]


def test_a_single_novel_has_both_sides_and_loses_nothing() -> None:
    train, heldout = split(NOVEL, 0.02)
    assert 2 <= len(heldout) <= 4
    assert sum(len(part.text) for part in heldout) < 0.25 * len(NOVEL.text)
    ids = [part.id for part in train + heldout]
    assert len(set(ids)) == len(ids)
    by_place = sorted(train + heldout, key=lambda part: int(part.id.rpartition("#")[2]))
    assert "".join("".join(part.text.split()) for part in by_place) == "".join(NOVEL.text.split())


def test_even_two_words_have_both_sides_and_one_letter_has_not() -> None:
    train, heldout = split(Document("a", "hello world", "s"), 0.5)
    assert train and heldout
    assert heldout_below([Document("a", "x", "s")], characters=1, fraction=0.5) == 0


def test_equal_passages_do_not_all_fall_on_one_side() -> None:
    train, heldout = split(Document("a", "hello world\n" * 500, "s"), 0.02)
    assert train and heldout


def test_what_is_not_cut_stays_as_it_is() -> None:
    (part,) = hold_out_passages(NOVEL, characters=1000, below=0)
    assert (part.id, part.text, part.heldout) == (NOVEL.id, NOVEL.text, False)
