"""The text of a race as tokens, once for all systems: documents cut to 64 kB, split by a hash of their content.

FOLDER/train/     token shards     FOLDER/heldout/     token shards and the bytes of every token
FOLDER/text.json  what it was made of; written last
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.bench.windows import TOKEN_BYTES_FILE, WINDOWS
from workbench.data.documents import BadRecord, read_documents
from workbench.data.shards import TokenShards, write_shards
from workbench.data.split import is_heldout
from workbench.errors import BadInput
from workbench.evals.baselines import KNESER_NEY_TOKENS, gzip_bits_per_byte, kneser_ney_bits_per_byte
from workbench.files import write_atomic
from workbench.tokenizer import Tokenizer
from workbench.tokenizer.bpe import train_tokenizer

PIECE_BYTES = 64_000
HELDOUT_SHARE = 0.02
SHARD_TOKENS = 1 << 24
MAX_TOKEN_BYTES = 16
_INDEX = "text.json"


@dataclasses.dataclass(frozen=True, slots=True)
class RaceTokens:
    """Where the tokens lie and how much text they are."""

    train: Path
    heldout: Path
    facts: dict[str, Any]


def prepare_tokens(
    files: Sequence[str], folder: Path, *, vocab_size: int, context_length: int, say: Callable[[str], None]
) -> RaceTokens:
    """Tokens of `files` in `folder`, or those that lie there already from the same files and vocabulary.

    files: none is the standard library's source.

    Raises BadInput when a file is missing or is no text, or when there is too little to hold windows out of.
    """
    made = RaceTokens(folder / "train", folder / "heldout", {})
    identity = _identity(files, vocab_size)
    index = folder / _INDEX
    if index.is_file():
        facts = json.loads(index.read_text(encoding="utf-8"))
        if facts.get("identity") == identity:
            return dataclasses.replace(made, facts=facts)
        raise BadInput("holds the tokens of other text", file=folder, fix="name another folder for --tokens")
    sides: dict[bool, list[str]] = {False: [], True: []}
    for text in _pieces(files):
        sides[is_heldout(text, HELDOUT_SHARE)].append(text)
    num_bytes = {side: sum(len(text.encode()) for text in texts) for side, texts in sides.items()}
    say(f"text: {num_bytes[False]:,} bytes to train on, {num_bytes[True]:,} held out")
    tokenizer = train_tokenizer(sides[False], vocab_size=vocab_size, max_token_length=MAX_TOKEN_BYTES)
    shards: dict[bool, TokenShards] = {}
    for side, place in ((False, made.train), (True, made.heldout)):
        place.mkdir(parents=True, exist_ok=True)
        ids = ([tokenizer.bos_id, *each] for each in tokenizer.encode_stream(sides[side]))
        shards[side] = write_shards(place, ids, vocab_size=vocab_size, shard_tokens=SHARD_TOKENS)
    if shards[True].num_tokens <= context_length:
        raise BadInput(
            f"{num_bytes[True]:,} bytes held out do not fill a window",
            fix="give more --data, in more documents",
        )
    sizes = np.array([len(tokenizer.token_bytes(i)) for i in range(vocab_size)], dtype=np.int64)
    np.save(made.heldout / TOKEN_BYTES_FILE, sizes, allow_pickle=False)
    facts = {
        "identity": identity,
        "train_bytes": num_bytes[False],
        "train_tokens": shards[False].num_tokens,
        "heldout_bytes": num_bytes[True],
        "heldout_windows": min(WINDOWS, (shards[True].num_tokens - 1) // context_length),
        "baselines": _without_a_network(tokenizer, sides[True], shards[False]),
    }
    write_atomic(index, json.dumps(facts, indent=2) + "\n")
    return dataclasses.replace(made, facts=facts)


def standard_library() -> list[Path]:
    """The source files of this Python's standard library, without its tests: text that is there wherever we are.

    Raises BadInput where Python came without them.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    left_out = {"site-packages", "dist-packages", "test", "tests", "idle_test"}
    found = [
        file
        for file in sorted(folder.rglob("*.py"))
        if not left_out.intersection(file.relative_to(folder).parts) and file.stat().st_size
    ]
    if not found:
        raise BadInput(
            "this Python came without the source of its library", fix="name text files with --data"
        )
    return found


def _without_a_network(tokenizer: Tokenizer, texts: Sequence[str], train: TokenShards) -> dict[str, float]:
    """Bits per byte of the held-out documents, whole, by what needs no network: to be told beside one."""
    counted = train.read(0, min(train.num_tokens, KNESER_NEY_TOKENS))
    kneser_ney = kneser_ney_bits_per_byte(tokenizer, texts, training_ids=counted)
    return {"gzip": gzip_bits_per_byte(texts), "kneser-ney-5": kneser_ney.bits_per_byte}


def _texts(files: Sequence[str]) -> Iterator[str]:
    """The documents of all files; of the standard library, which recipes do not read, a file each."""
    if not files:
        yield from (file.read_text(encoding="utf-8", errors="replace") for file in standard_library())
        return
    for record in read_documents(files, base=Path.cwd()):
        if not isinstance(record, BadRecord):
            yield record.text


def _pieces(files: Sequence[str]) -> Iterator[str]:
    """The documents of all files, long ones cut at a line end."""
    for text in _texts(files):
        while len(text) > PIECE_BYTES:
            cut = text.rfind("\n", PIECE_BYTES // 2, PIECE_BYTES) + 1 or PIECE_BYTES
            yield text[:cut]
            text = text[cut:]
        if text.strip():
            yield text


def _identity(files: Sequence[str], vocab_size: int) -> str:
    digest = hashlib.sha256(f"{vocab_size}".encode())
    for name in files or standard_library():
        path = Path(name)
        found = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        for each in found:
            if not each.is_file():
                raise BadInput("is not there", file=name, fix="name text files with --data")
            digest.update(f"{each.name}:{each.stat().st_size}\n".encode())
    return digest.hexdigest()
