from __future__ import annotations

import pytest
import torch

from workbench.bench.settings import OurSettings, parse_settings
from workbench.errors import BadInput


def test_a_setting_goes_where_its_name_belongs() -> None:
    settings = parse_settings(
        ["feed_forward=relu2", "learning_rate=0.01", "batch_tokens=2048", "qk_norm=false"]
    )
    assert settings.model == {"feed_forward": "relu2", "qk_norm": False}
    assert settings.optimizer_settings(torch.float32).learning_rate == 0.01
    assert settings.course.batch_tokens == 2048
    assert OurSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("learing_rate=1", "did you mean learning_rate"),
        ("learning_rate", "not KEY=VALUE"),
        ("learning_rate=fast", "'fast' is not a value"),
        ("batch_tokens=1.5", "'1.5' is not a value"),
        ("feed_forward=relu", "give one of: swiglu, gelu, relu2"),
        ("qk_norm=1", "give one of: bool"),
        ("hidden_size=64", "not KEY=VALUE of a key that can be set"),
        ("initializer=bigrams", "add --set tie_word_embeddings=false"),
    ],
)
def test_what_cannot_be_set_is_said_in_one_line(assignment: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_settings([assignment])
    assert said in str(caught.value) and "\n" not in str(caught.value)
