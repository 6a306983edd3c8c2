"""A recipe of seconds whose schedule can be left before its decay, and the text it learns."""

from __future__ import annotations

from pathlib import Path

RECIPE = """name = "x"
[corpus]
sources = ["text.txt"]
text_split = "lines"
min_characters = 5
[tokenizer]
vocab_size = 300
[pack]
[model]
hidden_size = 32
num_hidden_layers = 1
num_attention_heads = 2
[pretrain]
tokens = 1280
batch_tokens = 64
context_length = 32
schedule = "wsd"
warmup_steps = 2
dtype = "float32"
eval_every_steps = 100
eval_documents = 1
[eval]
tasks = ["heldout"]
baselines = false
"""
WORDS = "the old red river and a new stone bird sings by night under the house of day then it falls"


def write_text(folder: Path) -> None:
    """Put the recipe's `text.txt` into `folder`."""
    lines = [" ".join(WORDS.split()[(i * k) % 19] for i in range(30)) for k in range(1, 60)]
    (folder / "text.txt").write_text("\n".join(lines))
