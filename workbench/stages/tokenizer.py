"""The `tokenizer` stage: a vocabulary learned from a sample of the corpus, proved, measured and saved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from workbench.data.corpus_folder import read_artifact_documents
from workbench.data.sample import spread_sample
from workbench.errors import BadInput
from workbench.files import write_atomic
from workbench.recipe import Tokenizer as Settings
from workbench.stage_run import StageInputs, StageRun
from workbench.tokenizer import Tokenizer, prove_round_trip, train_tokenizer

UNUSED_SAMPLE_BYTES = 4_000_000  # a second of encoding
CHECK_EVERY = 64  # documents between looks at the control folder


def run(settings: Settings, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
    """Learn from training documents, prove that held-out ones come back unchanged, then save.

    Returns the report: sizes, unused entries, and bytes per token of held-out text. Raises BadInput when the
    corpus has too little text for the vocabulary.
    """
    run.start_over()
    documents = read_artifact_documents(inputs.documents, "train")
    sample = spread_sample(_watched((each.text for each in documents), run), max_bytes=settings.sample_bytes)
    if not sample:
        raise BadInput(
            "the corpus has no training documents", file=inputs.documents, fix="see its report.json for why"
        )
    tokenizer = train_tokenizer(
        _watched(sample, run), vocab_size=settings.vocab_size, max_token_length=settings.max_token_length
    )
    heldout = read_artifact_documents(inputs.documents, "heldout")
    proof = prove_round_trip(tokenizer, _watched((each.text for each in heldout), run))
    report = {
        "vocab_size": tokenizer.vocab_size,
        "sample_documents": len(sample),
        "sample_bytes": sum(len(text.encode()) for text in sample),
        "unused_entries": _count_unused(tokenizer, _watched(sample, run)),
        "heldout_documents": proof.num_texts,
        "heldout_bytes": proof.num_bytes,
        "heldout_tokens": proof.num_tokens,
        "bytes_per_token": proof.bytes_per_token,
    }
    tokenizer.save(run.folder)
    write_atomic(run.folder / "report.json", json.dumps(report, indent=2) + "\n")
    return report


def _watched(texts: Iterable[str], run: StageRun) -> Iterator[str]:
    """`texts`, ended by Stopped when a stop is asked for."""
    for number, text in enumerate(texts):
        if number % CHECK_EVERY == 0:
            run.progress(number, None, "documents")
            run.check_stop()
        yield text


def _count_unused(tokenizer: Tokenizer, texts: Iterable[str]) -> int:
    """Entries, besides bytes and special tokens, that never occur in the first 4 MB of `texts`.

    Many: the vocabulary is too large for the corpus, and their embeddings will stay random.
    """
    unused = {i for i in range(tokenizer.vocab_size) if len(tokenizer.token_bytes(i)) > 1}
    seen = 0
    for ids in tokenizer.encode_stream(texts):
        unused.difference_update(ids)
        seen += sum(len(tokenizer.token_bytes(i)) for i in ids)
        if seen > UNUSED_SAMPLE_BYTES:
            break
    return len(unused)
