"""The `pack` stage: training documents to token shards, each behind its bos. Held-out text stays text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

from workbench.data.corpus_folder import read_artifact_documents
from workbench.data.shards import SourceNumbers, lengths_by_source, write_shards
from workbench.document_lengths import num_tokens, write_lengths
from workbench.errors import BadInput
from workbench.files import write_atomic
from workbench.recipe import Pack as Settings
from workbench.stage_run import StageInputs, StageRun
from workbench.tokenizer import Tokenizer

CHECK_EVERY = 64  # documents between looks at the control folder


def run(settings: Settings, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
    """Encode the training documents and write them as shards.

    Returns the report: documents, bytes and tokens (a bos per document included), and the size of the
    held-out part in the same tokens. Raises BadInput without documents, NoSpace when the disk refuses.
    """
    run.start_over()
    tokenizer = Tokenizer.load(inputs.tokenizer)
    train = _Texts(inputs, run, part="train")
    encoded = ([tokenizer.bos_id, *ids] for ids in tokenizer.encode_stream(train))
    shards = write_shards(
        run.folder,
        encoded,
        vocab_size=tokenizer.vocab_size,
        shard_tokens=settings.shard_tokens,
        sources=train.sources,
    )
    if shards.num_documents == 0:
        raise BadInput(
            "the corpus has no training documents", file=inputs.documents, fix="see its report.json for why"
        )
    lengths = lengths_by_source(shards)
    write_lengths(run.folder, lengths)
    heldout = _Texts(inputs, run, part="heldout")
    heldout_tokens = sum(1 + len(ids) for ids in tokenizer.encode_stream(heldout))
    report = {
        "documents": shards.num_documents,
        "bytes": train.num_bytes,
        "tokens": shards.num_tokens,
        "bytes_per_token": train.num_bytes / shards.num_tokens,
        "shards": len(shards.shards),
        "vocab_size": shards.vocab_size,
        "heldout_documents": heldout.num_texts,
        "heldout_bytes": heldout.num_bytes,
        "heldout_tokens": heldout_tokens,
        "tokens_by_source": {source: num_tokens(each) for source, each in lengths.items()},
    }
    write_atomic(run.folder / "report.json", json.dumps(report, indent=2) + "\n")
    return report


class _Texts:
    """The texts of one part of the corpus, counted as they pass; ended by Stopped when one is asked for."""

    def __init__(self, inputs: StageInputs, run: StageRun, *, part: Literal["train", "heldout"]) -> None:
        self._folder = inputs.documents
        self._run = run
        self._part: Literal["train", "heldout"] = part
        self.num_texts = 0
        self.num_bytes = 0
        self.sources = SourceNumbers()

    def __iter__(self) -> Iterator[str]:
        for document in read_artifact_documents(self._folder, self._part):
            if self.num_texts % CHECK_EVERY == 0:
                self._run.progress(self.num_texts, None, "documents")
                self._run.check_stop()
            self.num_texts += 1
            self.num_bytes += len(document.text.encode())
            self.sources.note(document.source)
            yield document.text
