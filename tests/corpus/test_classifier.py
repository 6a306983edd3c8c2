from __future__ import annotations

import random
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from workbench import recipe_filters
from workbench.corpus import classifier
from workbench.corpus.classifier import (
    ClassifierSettings,
    QualityClassifier,
    area_under_curve,
    example_line,
    threshold_curve,
    train_classifier,
)
from workbench.corpus.fasttext_file import check_fasttext_file
from workbench.errors import BadInput

SMALL = ClassifierSettings(dim=4, buckets=50, min_count=1, heldout_fraction=0.2)


def examples(kind: str, count: int = 60) -> list[str]:
    draw = random.Random(kind)
    own = {"good": ["theorem", "river", "history", "because"], "bad": ["win", "click", "cheap", "casino"]}[
        kind
    ]
    return [" ".join(draw.choices([*own, "the", "of"], k=8)) + f" {kind[0]}{i}" for i in range(count)]


# A classifier written by hand, number by number, as fastText would: the check of files needs no library.


def written(
    path: Path,
    *,
    model: int = 3,
    loss: int = 3,
    bucket: int = 2,
    words: int = 3,
    labels: int = 2,
    rows: int = 5,
    kinds: str = "00011",
    columns: int = 2,
    count: int = 7,
    pruned: int = -1,
    quantised: int = 0,
    magic: int = 793712314,
    version: int = 12,
    tail: bytes = b"",
) -> Path:
    content = struct.pack("<ii", magic, version)
    content += struct.pack("<12id", 2, 5, 5, 1, 5, 2, loss, model, bucket, 0, 0, 100, 1e-4)
    content += struct.pack("<iiiqq", words + labels, words, labels, 35, pruned)
    names = [b"</s>", b"win", b"river", b"__label__good", b"__label__\xff"]
    for name, kind in zip(names, kinds, strict=True):
        content += name + b"\0" + struct.pack("<qb", count, int(kind))
    content += bytes([quantised]) + struct.pack("<qq", rows, columns) + bytes(4 * rows * columns)
    content += b"\0" + struct.pack("<qq", 2, 2) + bytes(4 * 2 * 2) + tail
    path.write_bytes(content)
    return path


def test_a_sound_file_tells_what_is_in_it(tmp_path: Path) -> None:
    sound = check_fasttext_file(written(tmp_path / "model.bin"))
    assert sound.labels == ("good", "\\xff")
    assert (sound.words, sound.dim, sound.quantised) == (3, 2, False)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"magic": 0x04034B50}, "it begins otherwise"),
        ({"version": 13}, "version is 13"),
        ({"model": 2}, "word vectors, not a classifier"),
        ({"loss": 9}, "loss is number 9"),
        ({"bucket": 0}, "its bucket is 0"),
        ({"bucket": 9}, "input matrix is 5 x 2"),
        ({"words": 4}, "sizes of its dictionary|is cut off|does not end|has count"),
        ({"labels": 0}, "sizes of its dictionary"),
        ({"kinds": "01011"}, "word 1 of its dictionary has count 7 and kind 1"),
        ({"count": -1}, "count -1"),
        ({"count": 10**15}, "count 1000000000000000"),
        ({"rows": 4}, "input matrix is 4 x 2"),
        ({"columns": 3}, "input matrix is 5 x 3"),
        ({"pruned": 0}, "pruned and not quantised"),
        ({"pruned": -2}, "sizes of its dictionary"),
        ({"quantised": 7}, "a yes or no at byte"),
        ({"tail": b"more"}, "4 bytes follow its end"),
    ],
)
def test_an_unsound_file_is_one_line(tmp_path: Path, changed: dict[str, int], message: str) -> None:
    path = written(tmp_path / "model.bin", **changed)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=message) as caught:
        check_fasttext_file(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: is not a sound fastText classifier")


def test_a_file_cut_off_anywhere_is_unsound(tmp_path: Path) -> None:
    whole = written(tmp_path / "model.bin").read_bytes()
    cut = tmp_path / "cut.bin"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(BadInput, match="is not a sound fastText classifier"):
            check_fasttext_file(cut)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        check_fasttext_file(tmp_path / "none.bin")
    with pytest.raises(BadInput, match="not a regular file"):
        check_fasttext_file(tmp_path)


def test_an_example_is_one_line_without_commands() -> None:
    assert example_line(" a\n\tb\u2028c\x00d ") == "a b c d"
    assert example_line("__label__good </s> x") == "labelgood <s> x"
    assert example_line("lone \ud800 café") == "lone ? café"


def test_the_examples_used_do_not_depend_on_their_order() -> None:
    texts = [f"{'word ' * (i % 9)}{i}" for i in range(200)]
    some = classifier._chosen(texts, 1000)
    assert 900 < sum(map(len, some.values())) <= 1000
    shuffled = texts + texts[:50]
    random.Random(0).shuffle(shuffled)
    assert classifier._chosen(shuffled, 1000) == some
    assert len(classifier._chosen(texts, 10**6)) == 200


def test_the_curve_and_the_area_are_what_counting_gives() -> None:
    good = np.array([0.9, 0.6, 0.4], np.float32)
    bad = np.array([0.5, 0.1, 0.6], np.float32)
    points = {point["threshold"]: point for point in threshold_curve(good, bad)}
    assert points[0.5] == {
        "threshold": 0.5,
        "precision": 0.5,
        "recall": 0.6667,
        "good_kept": 0.6667,
        "bad_kept": 0.6667,
    }
    assert points[0.95]["precision"] == 1.0  # nothing is kept, and nothing wrongly
    wins = sum((g > b) + (g == b) / 2 for g in good for b in bad)
    assert area_under_curve(good, bad) == round(wins / 9, 4)


def test_settings_and_recipe_agree() -> None:
    recipe = recipe_filters.Classifier().model_dump()
    for name, value in vars_of(ClassifierSettings()).items():
        assert recipe[name] == value


def vars_of(settings: ClassifierSettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in ClassifierSettings.__slots__}


def test_good_and_bad_are_told_apart_and_the_same_twice(tmp_path: Path) -> None:
    pytest.importorskip("fasttext")
    good, bad = examples("good"), examples("bad")
    both = ["the of both sides"]
    first = train_classifier([*good, *both], [*bad, *both], tmp_path / "a.bin", SMALL)
    assert (first.good + first.heldout_good, first.bad + first.heldout_bad) == (60, 60)
    assert first.contradictory == 1
    assert first.area_under_curve > 0.95
    assert first.at(0.5)["recall"] > 0.9
    assert first.file == "a.bin"
    again = train_classifier(reversed(good), reversed(bad), tmp_path / "b.bin", SMALL)
    assert again.digest == first.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "b.bin"]

    ready = QualityClassifier(tmp_path / "a.bin")
    texts = ["history of the river", "click casino win", "", "__label__good casino click win"]
    found = ready.probabilities(texts)
    assert found[0] > 0.9
    assert found[1] < 0.1
    assert found[3] < 0.2
    assert ready.probabilities([]).tolist() == []
    other_way = QualityClassifier(tmp_path / "a.bin", label="bad").probabilities(texts)
    assert found + other_way == pytest.approx(np.ones(4), abs=1e-4)


def test_many_texts_are_judged_in_parts_as_if_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fasttext")
    train_classifier(examples("good"), examples("bad"), tmp_path / "a.bin", SMALL)
    ready = QualityClassifier(tmp_path / "a.bin")
    texts = examples("good", 9) + examples("bad", 9)
    whole = ready.probabilities(texts)
    monkeypatch.setattr(classifier, "_TOGETHER", 100)
    assert ready.probabilities(texts).tolist() == whole.tolist()


def test_a_quantised_model_judges_too(tmp_path: Path) -> None:
    fasttext = pytest.importorskip("fasttext")
    lines = [
        f"__label__{kind} {line} {line[::-1]} {number}\n"
        for kind in ("good", "bad")
        for number, line in enumerate(examples(kind, 200))
    ]
    (tmp_path / "lines.txt").write_text("".join(lines))
    model = fasttext.train_supervised(
        str(tmp_path / "lines.txt"), dim=4, wordNgrams=2, bucket=99, thread=1, verbose=0
    )
    model.quantize(
        input=str(tmp_path / "lines.txt"), cutoff=300, retrain=True, qnorm=True, thread=1, verbose=0
    )
    model.save_model(str(tmp_path / "model.ftz"))
    assert check_fasttext_file(tmp_path / "model.ftz").quantised
    found = QualityClassifier(tmp_path / "model.ftz").probabilities(
        ["history of the river", "click casino win"]
    )
    assert found[0] > 0.5 > found[1]


def test_without_the_library_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fasttext", None)
    with pytest.raises(BadInput, match="pip install 'fasttext-community"):
        QualityClassifier(written(tmp_path / "model.bin"))


def test_a_label_that_is_not_there_is_answered_by_those_that_are(tmp_path: Path) -> None:
    path = written(tmp_path / "model.bin")
    with pytest.raises(BadInput, match=r"model\.bin: has no label hq; its labels are good, "):
        QualityClassifier(path, label="hq")


def test_too_few_examples_are_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="examples of bad text are too few"):
        train_classifier(examples("good"), ["one", "two"], tmp_path / "a.bin", SMALL)
    assert list(tmp_path.iterdir()) == []
