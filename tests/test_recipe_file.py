from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import workbench
from workbench.errors import BadInput, NotFound, RecipeError
from workbench.filter_rules import FILTERS
from workbench.recipe import Recipe
from workbench.recipe_fields import Table, is_cosmetic, tables_inside
from workbench.recipe_file import (
    NAME,
    load_recipe,
    parse_assignments,
    shipped_recipes,
    tables,
)
from workbench.recipe_model import Model
from workbench.recipe_vocabulary import all_tables, describe_key

GOOD = """name = "x"
[corpus]
[tokenizer]
[pack]
[model]
size = "1m"
[pretrain]
tokens = "1M"
"""
Write = Callable[[str], Path]


def problems(path: Path, **overrides: object) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


def test_a_good_recipe_with_origins(write_recipe: Write) -> None:
    loaded = load_recipe(write_recipe(GOOD), {"pretrain.seed": "3"})
    assert loaded.recipe.pretrain is not None
    assert loaded.recipe.pretrain.tokens == 1_000_000
    assert loaded.recipe.pretrain.seed == 3
    assert loaded.origin("pretrain", "tokens") == "recipe"
    assert loaded.origin("pretrain", "seed") == "--set"
    assert loaded.origin("pretrain", "dtype") == "default"


@pytest.mark.parametrize(
    ("key", "message", "says"),
    [
        ("seed", "seed = 3 cannot be", "[pretrain] seed = 3 cannot be"),
        ("seed", "seeds are many", "[pretrain] seed: seeds are many"),
        ("seed", "3 is too many", "[pretrain] seed: 3 is too many"),
        ("", "will not fit", "[pretrain]: will not fit"),
    ],
)
def test_a_blamed_key_is_named_once(write_recipe: Write, key: str, message: str, says: str) -> None:
    path = write_recipe(GOOD + "seed = 3\n")
    blamed = load_recipe(path).blame("pretrain", key, BadInput(message, fix="do it"))
    assert str(blamed) == f"{path}:{9 if key else 7}: {says}; do it"
    blamed = load_recipe(path, {"pretrain.seed": "4"}).blame("pretrain", "seed", BadInput("seed = 4 is odd"))
    assert str(blamed) == "--set: [pretrain] seed = 4 is odd"


def test_all_problems_at_once_each_with_its_line(write_recipe: Write) -> None:
    text = GOOD + "learing_rate = 1\nlearning_rate = nan\nweight_decay = -1\nseed = true\n[sfft]\nx = 1\n"
    assert problems(write_recipe(text)) == [
        "9: [pretrain] learing_rate is not a key; did you mean learning_rate?",
        "10: [pretrain] learning_rate = nan: input should be a finite number",
        "11: [pretrain] weight_decay = -1: input should be greater than or equal to 0",
        "12: [pretrain] seed = True: input should be a valid integer",
        "13: [sfft] is not a table; did you mean sft?",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "hidden_size = 100\nnum_attention_heads = 3",
            "num_attention_heads = 3 does not divide hidden_size = 100",
        ),
        ("num_attention_heads = 4\nnum_key_value_heads = 3\nhidden_size = 128", "is not a multiple of"),
        ('size = "9z"', "choose one of 1m 5m"),
        ("rms_norm_eps = 0", "greater than 0"),
        ("max_position_embeddings = 64", "context_length = 256 is more than"),
        ("qk_norm = 1", "boolean"),
        ('parametrization = "mup"', "mup_base_width is missing"),
        ("mup_base_width = 256", "does nothing here"),
        ('rope_scaling = "yarn"', "rope_scaling_factor is missing"),
        ('initializer = "bigrams"', "needs a head of its own; add tie_word_embeddings = false"),
        ("bigram_embedding_rows = -1", "greater than or equal to 0"),
        ("rope_scaling_factor = 2.0", "does nothing without rope_scaling"),
        (
            'rope_scaling = "linear"\nrope_scaling_factor = 2.0\noriginal_max_position_embeddings = 256',
            "original_max_position_embeddings does nothing",
        ),
        ('architecture = "gpt2"\nrope_scaling = "linear"\nrope_scaling_factor = 2.0', "learned ones"),
    ],
)
def test_shapes_that_cannot_be(write_recipe: Write, line: str, expected: str) -> None:
    found = problems(write_recipe(GOOD.replace('size = "1m"', line)))
    assert len(found) == 1
    assert expected in found[0]


def test_bigrams_for_first_weights_are_for_small_vocabularies(write_recipe: Write) -> None:
    model = 'size = "1m"\ninitializer = "bigrams"\ntie_word_embeddings = false'
    path = write_recipe(GOOD.replace('size = "1m"', model))
    (found,) = problems(path, **{"tokenizer.vocab_size": "8193"})
    assert "initializer" in found and "at most 8,192 tokens, [tokenizer] vocab_size = 8,193" in found
    assert load_recipe(path, {"tokenizer.vocab_size": "8192"}).recipe.model is not None


def test_mup_derives_its_multipliers_from_the_base_width() -> None:
    table = {"hidden_size": 512, "num_attention_heads": 16, "num_hidden_layers": 2, "logits_scaling": 3.0}
    config = Model(size=None, parametrization="mup", mup_base_width=128, **table).shape(vocab_size=300)
    assert (config.logits_scaling, config.attention_multiplier) == (12.0, 0.25)
    assert (config.known_as, config.exported_as) == (None, "qwen3")
    plain = Model(size=None, qk_norm=False, **table).shape(vocab_size=300)
    assert (plain.logits_scaling, plain.known_as) == (3.0, "granite")


def test_overrides_are_checked_like_the_file_and_named(write_recipe: Write) -> None:
    path = write_recipe(GOOD)
    assert problems(path, **{"pretrain.tokens": "many"})[0].startswith("--set: [pretrain] tokens = 'many'")
    assert "the recipe has no [dpo]" in problems(path, **{"dpo.beta": "1"})[0]
    assert "did you mean pretrain" in problems(path, **{"pretran.beta": "1"})[0]


@pytest.mark.parametrize(
    ("data", "line", "expected"),
    [
        (b"name = \n", 1, "is not TOML"),
        (b'name = "a"\nname = "b"\n', 2, "name is there twice, first on line 1"),
        (b'\xffname = "a"\n', 1, "is not UTF-8"),
        (b"a" + b".a" * 100_000 + b" = 1\n", 1, "too many dots"),
        (b"a = " + b"[" * 100_000 + b"\n", 1, "is not a recipe"),
        (b"x" * 300_000, None, "larger than"),
    ],
)
def test_files_that_are_no_recipes(tmp_path: Path, data: bytes, line: int | None, expected: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=expected) as caught:
        load_recipe(path)
    assert caught.value.line == line
    assert "\n" not in str(caught.value)


def test_a_bom_and_crlf_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_recipe(path).recipe.name == "x"


def test_hostile_names_are_refused(write_recipe: Write) -> None:
    for name in ("../up", "", "a" * 65, "-rf", "{0.__class__}"):
        assert "name" in problems(write_recipe(GOOD.replace('"x"', f'"{name}"')))[0]


def test_many_problems_are_capped(write_recipe: Write) -> None:
    found = problems(write_recipe(GOOD + "".join(f"k{i} = 1\n" for i in range(5000))))
    assert len(found) == 21
    assert found[-1].endswith("and 4980 more problems")


def test_a_stage_without_what_it_needs(write_recipe: Write) -> None:
    assert "[pretrain] needs [pack]" in problems(write_recipe(GOOD.replace("[pack]\n", "")))[0]


def test_unknown_recipes_name_the_known() -> None:
    with pytest.raises(NotFound, match="quickstart"):
        load_recipe("quickstrat")


def test_shipped_recipes_are_good() -> None:
    assert shipped_recipes()[0][0] == "quickstart", "what a newcomer is shown first"
    for name, description in shipped_recipes():
        assert description, name
        assert load_recipe(name).recipe.name == name


def test_the_ladder_of_widths_has_one_rate() -> None:
    """What recipes/mup.toml says to set gives, at every width, a model of the same heads that others know."""
    for width, heads in ((64, 2), (128, 4), (256, 8), (512, 16)):
        overrides = {"model.hidden_size": str(width), "model.num_attention_heads": str(heads)}
        recipe = load_recipe("mup", overrides=overrides).recipe
        assert recipe.model is not None and recipe.pretrain is not None
        shape = recipe.model.shape(vocab_size=512)
        assert (shape.head_dim, shape.width_multiplier, shape.exported_as) == (32, width / 64, "qwen3")
        assert recipe.pretrain.optimizer == "adamw" and recipe.pretrain.learning_rate == 0.008


def test_assignments() -> None:
    assert parse_assignments(["a.b=1", "name=x=y", "a.b.c=2"]) == {"a.b": "1", "name": "x=y", "a.b.c": "2"}
    for bad in ("a.b", "=1", "a.b.c.d=1", "a..c=1", "a b=1"):
        with pytest.raises(BadInput, match=r"TABLE\.KEY=VALUE"):
            parse_assignments([bad])


def test_every_key_is_documented() -> None:
    for name, table in all_tables().items():
        for key in table.model_fields:
            assert len(describe_key(table, key)) > 5, f"[{name}] {key} has no docstring"


def test_the_vocabulary_is_frozen() -> None:
    """A new key is a decision: add it to tests/golden/vocabulary.txt in the same commit."""
    lines = []
    for name, table in all_tables().items():
        for key in table.model_fields.keys() - tables_inside(table).keys():
            lines.append(f"{name}.{key}{' cosmetic' if is_cosmetic(_instance(table), key) else ''}")
    golden = Path(__file__).parent / "golden" / "vocabulary.txt"
    assert golden.read_text().splitlines() == sorted(lines)


def _instance(table: type[Table]) -> Table:
    return table.model_construct()


def test_recipe_tables_are_the_stage_table() -> None:
    from workbench.plan import STAGE_NAMES

    assert set(STAGE_NAMES) | {"model"} == set(tables())
    assert Recipe.model_fields.keys() - tables().keys() == {"name", "description"}


def test_every_key_is_read_by_somebody() -> None:
    """A key that is accepted, documented and then ignored is a lie that no other test sees."""
    written = ("recipe.py", "recipe_corpus.py", "recipe_dedup.py", "recipe_filters.py")
    files = [file for file in Path(workbench.__file__).parent.rglob("*.py") if file.name not in written]
    source = "\n".join(file.read_text() for file in files)
    vocabulary = (Path(__file__).parent / "golden" / "vocabulary.txt").read_text()
    keys = {line.split()[0].rpartition(".")[2] for line in vocabulary.splitlines()} - {""}
    keys -= {check.key for checks in FILTERS.values() for check in checks}  # these are read by that table
    assert [key for key in sorted(keys) if not re.search(rf"""[."']{re.escape(key)}\b""", source)] == []


def test_a_run_and_a_recipe_are_named_alike() -> None:
    (rule,) = (getattr(each, "pattern", None) for each in Recipe.model_fields["name"].metadata)
    assert rule == f"^{NAME.pattern}$"


def test_forgotten_brackets_are_shown_in_place(write_recipe: Write) -> None:
    bare = GOOD.replace("[corpus]", '[corpus]\nsources = "c4.jsonl"\npackages = "json"')
    assert problems(write_recipe(bare)) == [
        '3: [corpus] sources is a list: write ["c4.jsonl"]',
        '4: [corpus] packages is a list: write ["json"]',
    ]
    assert problems(write_recipe(GOOD), **{"corpus.sources": "c4.jsonl"}) == [
        """--set: [corpus] sources is a list: write --set 'corpus.sources=["c4.jsonl"]'"""
    ]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('tokens = "2M"\n', "9: [pretrain] tokens is there twice, first on line 8; keep one of them"),
        ("[corpus]\n", "9: [corpus] is there twice, first on line 2; keep one of them"),
    ],
)
def test_what_is_there_twice_is_named(write_recipe: Write, more: str, says: str) -> None:
    path = write_recipe(GOOD + more)
    with pytest.raises(BadInput) as caught:
        load_recipe(path)
    assert str(caught.value) == f"{path}:{says}"


TWO_SOURCES = GOOD.replace("[corpus]", '[corpus]\nsources = ["web/*.txt", "book.md"]')


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "batch_ramp = { start = 500, until = 0.3 }",
            "10: [pretrain]: batch_ramp start = 500 does not double to batch_tokens = 2048; "
            "write 2048 divided by 2, 4, 8 or so",
        ),
        (
            "context_length = 1024\nbatch_ramp = { start = 512, until = 0.3 }",
            "11: [pretrain]: batch_ramp start = 512 is not a multiple of context_length = 1024",
        ),
        (
            "batch_ramp = { start = 512, untill = 0.3 }",
            "10: [pretrain.batch_ramp] until is missing; add it: The share of the tokens over which it grows, each "
            "size for an equal part.\n10: [pretrain.batch_ramp] untill is not a key; did you mean until?",
        ),
        (
            "[pretrain.context_ramp]\nstart = 64\nuntil = 2",
            "12: [pretrain.context_ramp] until = 2: input should be less than or equal to 1",
        ),
        (
            "context_ramp = 64",
            "10: [pretrain] context_ramp is a table; write context_ramp = { start = …, until = … }",
        ),
        ("mixture = 2", '10: [pretrain] mixture is a table; write mixture = { "NAME" = NUMBER }'),
        (
            'mixture = { "book.md" = -1 }',
            "10: [pretrain] mixture book.md = -1: input should be greater than or equal to 0",
        ),
        (
            'mixture = { "bok.md" = 1 }',
            "10: [pretrain] mixture names 'bok.md', which is not one of [corpus] sources; did you mean 'book.md'?",
        ),
        (
            'mixture = { "web/*.txt" = 0, "book.md" = 0 }',
            "10: [pretrain] mixture gives every source the weight 0; give one more",
        ),
        (
            'curriculum = [{ until = 0.5, mixture = { "book.md" = "2" } }]',
            "10: [pretrain] curriculum[0] mixture book.md = '2': input should be a valid number",
        ),
        (
            "curriculum = [{ until = 0.5, mixture = { x = 2 } }]",
            "10: [pretrain] curriculum names 'x', which is not one of [corpus] sources; they are web/*.txt, book.md",
        ),
        (
            'curriculum = [\n  { until = 0.5, mixture = { "book.md" = 2 } },\n  { until = 0.5, mixture = '
            '{ "book.md" = 1 } },\n]',
            "10: [pretrain]: curriculum ends at 0.5, 0.5; each until must be above the last",
        ),
    ],
)
def test_what_is_read_and_in_which_sizes_is_checked(write_recipe: Write, lines: str, expected: str) -> None:
    assert "\n".join(problems(write_recipe(TWO_SOURCES + lines + "\n"))) == expected


def test_mixtures_and_ramps_are_read_from_toml(write_recipe: Write) -> None:
    text = (
        'mixture = { "book.md" = 3, "web/*.txt" = 0.5 }\nbatch_ramp = { start = 512, until = 0.3 }\n'
        '[[pretrain.curriculum]]\nuntil = 0.25\n[pretrain.curriculum.mixture]\n"book.md" = 0\n'
    )
    pretrain = load_recipe(
        write_recipe(TWO_SOURCES + text), {"pretrain.context_ramp": "{start=64, until=0.5}"}
    )
    settings = pretrain.recipe.pretrain
    assert settings is not None
    phases = settings.phases()
    assert [phase.until for phase in phases] == [0.25, 1.0]
    assert phases[0].weights == {"book.md": 0} and phases[1].weights == {"book.md": 3, "web/*.txt": 0.5}
    first = settings.sizes().stretches[0]
    assert (first.batch_tokens, first.context_length) == (512, 64)


WITH_FILTERS = GOOD.replace(
    "[corpus]\n", '[corpus]\nfilters = ["gopher_quality", "c4"]\n[corpus.gopher_quality]\nmin_words = 40\n'
)


def test_tables_inside_tables(write_recipe: Write) -> None:
    loaded = load_recipe(write_recipe(WITH_FILTERS), {"corpus.gopher_quality.max_words": "2k"})
    corpus = loaded.recipe.corpus
    assert corpus is not None and corpus.gopher_quality is not None and corpus.c4 is not None
    assert (corpus.gopher_quality.min_words, corpus.gopher_quality.max_words) == (40, 2000)
    assert corpus.thresholds()["c4"]["min_sentences"] == 5  # named without a table: its defaults
    assert loaded.origin("corpus", "gopher_quality") == "recipe"
    origins = loaded.origins_inside("corpus", "gopher_quality")
    assert (origins["min_words"], origins["max_words"], origins["min_stop_words"]) == (
        "recipe",
        "--set",
        "default",
    )
    assert set(loaded.origins_inside("corpus", "c4").values()) == {"default"}
    inline = WITH_FILTERS.replace(
        "[corpus.gopher_quality]\nmin_words = 40", "gopher_quality = { min_words = 40 }"
    )
    loaded = load_recipe(write_recipe(inline))
    assert loaded.origins_inside("corpus", "gopher_quality")["min_words"] == "recipe"
    assert loaded.origins_inside("corpus", "gopher_quality")["max_words"] == "default"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "min_words",
            "min_word",
            "5: [corpus.gopher_quality] min_word is not a key; did you mean min_words?",
        ),
        (
            "= 40",
            "= -1",
            "5: [corpus.gopher_quality] min_words = -1: input should be greater than or equal to 0",
        ),
        (
            "[corpus.gopher_quality]",
            "[corpus.gopher_qualty]",
            "4: [corpus] gopher_qualty is not a key; did you mean gopher_quality?",
        ),
        (
            '["gopher_quality", "c4"]',
            '["c4"]',
            "4: [corpus]: gopher_quality has thresholds but filters does not name it; add it to filters",
        ),
        (
            '"c4"]',
            '"c5"]',
            "3: [corpus] filters = 'c5': input should be 'language', ",
        ),
    ],
)
def test_what_is_wrong_inside_is_shown_in_place(
    write_recipe: Write, old: str, new: str, expected: str
) -> None:
    (told,) = problems(write_recipe(WITH_FILTERS.replace(old, new)))
    assert told.startswith(expected)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "corpus.gopher_quality.min_words",
            "-1",
            "--set: [corpus.gopher_quality] min_words = -1: input should be greater than or equal to 0",
        ),
        (
            "corpus.gopher_quality.min_word",
            "1",
            "--set: [corpus.gopher_quality] min_word is not a key; did you mean min_words?",
        ),
        (
            "corpus.gopher_qualty.min_words",
            "1",
            "--set corpus.gopher_qualty.min_words: [corpus.gopher_qualty] is not a table; "
            "did you mean corpus.gopher_quality?",
        ),
        ("sft.x.y", "1", "--set sft.x.y: [sft.x] is not a table; "),
    ],
)
def test_what_is_set_wrong_inside_is_named(write_recipe: Write, name: str, value: str, expected: str) -> None:
    (told,) = problems(write_recipe(WITH_FILTERS), **{name: value})
    assert told.startswith(expected)
