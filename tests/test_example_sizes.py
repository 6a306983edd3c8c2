"""What a plan foretells of fine-tuning: as many steps as the stage then takes, from a look at the first records."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from workbench.budget import estimate
from workbench.data.examples import gather_conversations, gather_preferences
from workbench.data.lessons import encode_conversations, encode_preferences, order_conversations, order_pairs
from workbench.example_sizes import example_sizes, examples_in, num_steps
from workbench.plan import Plan, make_plan
from workbench.recipe import Dpo, Sft
from workbench.recipe_file import load_recipe
from workbench.token_sizes import BYTES_PER_TOKEN, of_vocabulary
from workbench.tokenizer import Tokenizer, train_tokenizer

EXAMPLE = {"messages": [{"role": "user", "content": "hé"}, {"role": "assistant", "content": "ho"}]}


@pytest.mark.parametrize(
    ("file", "text", "count"),
    [
        ("few.jsonl", (json.dumps(EXAMPLE) + "\n") * 11, 11),
        ("many.jsonl", (json.dumps(EXAMPLE) + "\n") * 9000, 9000),
        ("array.json", json.dumps([EXAMPLE] * 1100), 1100),
        ("lines.json", json.dumps([EXAMPLE] * 9000, indent=2, ensure_ascii=False), 9000),
        ("nothing.jsonl", "what is this?" * 100, 3),
    ],
)
def test_examples_are_counted_by_a_look_at_the_file(tmp_path: Path, file: str, text: str, count: int) -> None:
    (tmp_path / file).write_text(text)
    assert examples_in(tmp_path / file) == pytest.approx(count, rel=0.002)


WORDS = "the a old new red river stone bird house sings falls opens under over by night day and then it"
DICE = random.Random(7)
SAID = [" ".join(DICE.choices(WORDS.split(), k=DICE.randint(3, 40))) + "." for _ in range(3000)]
TOKENIZER: Tokenizer = train_tokenizer([*SAID, "user assistant " * 2000], vocab_size=330, max_token_length=24)
OWN_TEXT = sum(map(len, SAID)) / sum(len(TOKENIZER.encode(text)) for text in SAID)

SHAPES: dict[str, tuple[str, Any]] = {
    "messages": ("sft", lambda a, b, c: {"messages": turns(a, b, c, b)}),
    "ShareGPT": (
        "sft",
        lambda a, b, c: {"conversations": turns(a, b, names=("from", "value"), who="human gpt")},
    ),
    "Alpaca": ("sft", lambda a, b, c: {"instruction": a, "input": c, "output": b}),
    "question": ("sft", lambda a, b, c: {"id": c, "question": a, "answer": b}),
    "prompt and messages": ("sft", lambda a, b, c: {"prompt": a, "messages": turns(a, b)}),
    "pairs": ("dpo", lambda a, b, c: {"prompt": a, "chosen": b, "rejected": c + " No."}),
    "whole conversations": ("dpo", lambda a, b, c: {"chosen": turns(a, b), "rejected": turns(a, c + " No.")}),
    "ShareGPT pairs": (
        "dpo",
        lambda a, b, c: {
            "conversations": turns(a, names=("from", "value"), who="human gpt"),
            "chosen": {"from": "gpt", "value": b},
            "rejected": {"from": "gpt", "value": c + " No."},
        },
    ),
}


def turns(
    *said: str, names: tuple[str, str] = ("role", "content"), who: str = "user assistant"
) -> list[dict[str, str]]:
    """A conversation that begins with the user."""
    return [dict(zip(names, (who.split()[place % 2], text), strict=True)) for place, text in enumerate(said)]


def planned(folder: Path, stage: str, extra: str) -> Plan:
    """A plan whose tokens are counted already, with that fine-tuning stage."""
    (folder / "text.txt").write_text("text")
    base = f"""name = "x"
[corpus]
sources = ["text.txt"]
[tokenizer]
[pack]
[pretrain]
tokens = "1M"
[{stage}]
sources = ["examples*"]
{extra}
"""
    (folder / "x.toml").write_text(base)
    plan = make_plan(load_recipe(folder / "x.toml"), home=folder / "home")
    packed = plan.stage("pack").makes
    if not plan.store.exists(packed):
        plan.store.start(packed)
        plan.store.publish(
            packed, stage="pack", settings={}, inputs={}, summary={"bytes_per_token": OWN_TEXT}
        )
    return plan


def steps_taken(table: Sft | Dpo, folder: Path) -> int:
    """As many as the stage would take, by its own code."""
    chosen = {
        "heldout_fraction": table.heldout_fraction,
        "max_examples": table.max_examples,
        "seed": table.seed,
    }
    if isinstance(table, Sft):
        said = gather_conversations(table.sources, base=folder, **chosen).train
        lessons = encode_conversations(TOKENIZER, said, context_length=table.context_length).lessons
        order = order_conversations(lessons, batch_tokens=table.batch_tokens, seed=0)
    else:
        liked = gather_preferences(table.sources, base=folder, **chosen).train
        pairs = encode_preferences(TOKENIZER, liked, context_length=table.context_length).pairs
        order = order_pairs(pairs, batch_pairs=table.batch_pairs, seed=0)
    return order.num_steps(table.epochs)


@pytest.mark.parametrize(
    ("extra", "packed"),
    [("", True), ("epochs = 2.5\nmax_examples = 300", False), ("context_length = 100", False)],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_steps_that_are_foretold_are_taken(tmp_path: Path, shape: str, extra: str, packed: bool) -> None:
    stage, record = SHAPES[shape]
    if stage == "sft":
        extra += "\nbatch_tokens = 512"
    text = "\n".join(json.dumps(record(*SAID[place : place + 3])) for place in range(0, 2997, 3)).encode()
    (tmp_path / f"examples.jsonl{'.gz' if packed else ''}").write_bytes(
        gzip.compress(text) if packed else text
    )
    plan = planned(tmp_path, stage, extra)
    table = plan.stage(stage).table()
    assert isinstance(table, Sft | Dpo)
    taken = steps_taken(table, tmp_path)
    assert num_steps(table, example_sizes(plan, table)) == pytest.approx(taken, rel=0.15)
    assert taken > 5


def test_what_no_file_tells_is_told_by_its_size(tmp_path: Path) -> None:
    (tmp_path / "examples.parquet").write_bytes(b"x" * 10_000)
    plan = planned(tmp_path, "sft", "")
    table = plan.stage("sft").table()
    assert isinstance(table, Sft)
    sizes = example_sizes(plan, table)
    assert sizes.train == pytest.approx(0.95 * 70) and 100 < sizes.tokens <= 256


def test_the_quickstarts_steps(home: Path) -> None:
    """What it took on the day it was measured (recipes/LOG.md): 259 of SFT, 125 of DPO."""
    stages = estimate(make_plan(load_recipe("quickstart"))).stages
    assert stages["sft"].steps == pytest.approx(259, rel=0.03)
    assert stages["dpo"].steps == 125


@pytest.mark.parametrize("entries", [256, 300, 4096, 5000, 65536, 200_000])
def test_more_entries_are_longer_tokens(entries: int) -> None:
    assert of_vocabulary(entries - 40) <= of_vocabulary(entries) <= max(BYTES_PER_TOKEN.values())
    assert of_vocabulary(entries) == BYTES_PER_TOKEN.get(entries, of_vocabulary(entries))
