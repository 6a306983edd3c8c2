from __future__ import annotations

from tests.corpus.planted import text_of
from workbench.corpus.contamination import ContaminationIndex
from workbench.corpus.eval_items import EvalItem


def items() -> list[EvalItem]:
    return [
        EvalItem("long", "0", (" ".join(text_of("a", 40)), " ".join(text_of("a2", 30)))),
        EvalItem("long", "1", (" ".join(text_of("b", 20)),)),
        EvalItem("short", "0", (" ".join(text_of("c", 9)),)),
        EvalItem("short", "1", ("too short to tell",)),
    ]


def found(texts: list[str], min_share: float = 0.0) -> list[tuple[int, int, float]]:
    index = ContaminationIndex(items())
    return [
        (each.text, each.item, each.share)
        for each in index.judge(index.table.scan(texts), min_share=min_share)
    ]


def test_texts_that_hold_items_are_found_with_their_shares() -> None:
    around = text_of("page", 500)
    texts = [
        " ".join(around),
        " ".join([*around[:100], *text_of("a", 40)[10:], *around[100:]]),
        " ".join([*text_of("c", 9), *around, *text_of("b", 20)]).upper().replace(" ", ", "),
        " ".join(text_of("b", 20)[:12]),
        " ".join(text_of("c", 9)[:8]),
    ]
    assert found(texts) == [(1, 0, 18 / 28), (2, 1, 1.0), (2, 2, 1.0)]
    assert found(texts, min_share=0.7) == [(2, 1, 1.0), (2, 2, 1.0)]
    assert found([]) == found(["", "x"]) == []


def test_items_that_are_too_short_are_told() -> None:
    index = ContaminationIndex(items())
    assert index.too_short == [3]
    assert ContaminationIndex([]).too_short == []
    empty = ContaminationIndex([])
    assert empty.judge(empty.table.scan(["some text"])) == []


def test_an_item_that_two_sets_share_is_found_for_both() -> None:
    passage = " ".join(text_of("both", 15))
    index = ContaminationIndex([EvalItem("one", "0", (passage,)), EvalItem("two", "7", (passage, passage))])
    assert [each.item for each in index.judge(index.table.scan([passage]))] == [0, 1]
