from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.corpus import language
from workbench.corpus.language import FastTextModel, bundled_model, judged_part
from workbench.errors import BadInput

pytest.importorskip("py3langid")  # a whole installation has it

SENTENCES = {
    "en": "The old bridge was closed for the winter, so everybody walked round by the mill.",
    "de": "Die alte Brücke war den Winter über gesperrt, also gingen alle an der Mühle vorbei.",
    "fr": "Le vieux pont était fermé pour l'hiver, alors tout le monde passait par le moulin.",
    "es": "El viejo puente estaba cerrado por el invierno, así que todos pasaban por el molino.",
    "ru": "Старый мост закрыли на зиму, поэтому все ходили в обход мимо мельницы.",
    "ja": "古い橋は冬の間閉鎖されていたので、みんな水車小屋のそばを回って歩いた。",
    "zh": "旧桥冬天关闭,所以大家都绕道从磨坊那边走。",
    "ar": "كان الجسر القديم مغلقًا خلال فصل الشتاء، لذلك سار الجميع بجانب الطاحونة.",
    "pl": "Stary most był zamknięty na zimę, więc wszyscy chodzili dookoła młyna.",
    "sr": "Стари мост је био затворен преко зиме, па су сви ишли поред воденице.",
}


def test_languages_are_told_and_how_sure_that_is() -> None:
    codes, sure = bundled_model().languages(list(SENTENCES.values()))
    assert codes == list(SENTENCES)
    assert sure.dtype == np.float32
    assert (sure > 0.8).all()


def test_a_text_in_a_batch_is_judged_as_it_is_alone() -> None:
    texts = [
        *SENTENCES.values(),
        "",
        "12 + 3",
        "A",
        "x" * 100_000,
        "ALL IN CAPITALS, AND STILL ENGLISH, IT SEEMS.",
    ] * 60
    codes, sure = bundled_model().languages(texts)
    for place in range(15):
        code, alone = bundled_model().languages([texts[place]])
        assert (code[0], alone[0]) == (codes[place], pytest.approx(sure[place], abs=1e-5))
    assert codes[-1] == "en"


def test_the_answer_is_py3langids_own() -> None:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    theirs = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    texts = [sentence[start:] for sentence in SENTENCES.values() for start in range(0, 18, 3)]
    assert bundled_model().languages(texts)[0] == [theirs.classify(text)[0] for text in texts]


def test_a_text_without_letters_has_no_language() -> None:
    codes, sure = bundled_model().languages(["", "   "])
    assert codes == ["zxx", "zxx"]
    assert (sure == 0).all()
    assert bundled_model().languages([])[0] == []


def test_a_long_text_is_judged_by_its_middle_too() -> None:
    menu = "Home Contact Login Search\n" * 12
    text = menu + SENTENCES["de"] * 50 + menu
    assert bundled_model().languages([text])[0] == ["de"]
    assert len(judged_part(text)) <= language.PART_CHARACTERS + 2


@given(st.lists(st.text(max_size=60), max_size=6))
def test_no_text_is_too_odd(texts: list[str]) -> None:
    codes, sure = bundled_model().languages([*texts, "\ud800", "a\x00\u202e"])
    assert len(codes) == len(sure) == len(texts) + 2
    assert ((sure >= 0) & (sure <= 1)).all()


def test_a_model_of_ones_own_is_used(tmp_path: Path) -> None:
    fasttext = pytest.importorskip("fasttext")
    examples = tmp_path / "examples.txt"
    examples.write_text("".join(f"__label__{code}_Latn {text}\n" for code, text in SENTENCES.items()) * 20)
    model = fasttext.train_supervised(
        str(examples), epoch=30, lr=1.0, dim=16, thread=1, verbose=0, minn=2, maxn=3, bucket=2000
    )
    model.save_model(str(tmp_path / "lid.bin"))
    codes, sure = FastTextModel(tmp_path / "lid.bin").languages([SENTENCES["de"], "", SENTENCES["pl"]])
    assert (codes[0], codes[2]) == ("de", "pl")
    assert sure[0] > 0.5
    (tmp_path / "junk.bin").write_bytes(b"junk" * 100)
    with pytest.raises(BadInput, match=r"junk\.bin"):
        FastTextModel(tmp_path / "junk.bin")
