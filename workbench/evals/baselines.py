"""What needs no network: compressors and an n-gram model on the documents a model is measured on.

All figures are bits per UTF-8 byte of the held-out documents, so they stand beside the model's, but the games
differ. A compressor reads all documents as *one* text: it may learn from one held-out document for the next,
which a model may not. The n-gram model reads the model's own tokens, and each document on its own, as models
do. Knows texts, not files.
"""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from workbench.evals import passages
from workbench.evals.bits_per_byte import BitsPerByte, summarise
from workbench.evals.kneser_ney import KneserNey
from workbench.evals.metric import Metric
from workbench.tokenizer import Tokenizer

# What the baselines may learn from, at most. xz -9 takes about 1 s and 10 MB of memory per MB of text (and is
# run twice), the 5-gram 1 s and 150 MB per million tokens.
XZ_TRAINING_BYTES = 24_000_000
KNESER_NEY_TOKENS = 6_000_000


def heldout_baselines(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    training_texts: Sequence[str],
    training_ids: NDArray[np.integer],
) -> dict[str, Metric]:
    """Bits per byte of `texts` by all baselines, by name. `training_ids` as in `kneser_ney_bits_per_byte`."""
    counted = kneser_ney_bits_per_byte(tokenizer, texts, training_ids=training_ids)
    return {
        "gzip": Metric(gzip_bits_per_byte(texts), None, len(texts)),
        "xz": Metric(xz_bits_per_byte(texts), None, len(texts)),
        "xz-with-training-text": Metric(
            xz_bits_per_byte(texts, training_texts=training_texts), None, len(texts)
        ),
        "kneser-ney-5": Metric(counted.bits_per_byte, counted.stderr, len(texts)),
    }


def gzip_bits_per_byte(texts: Sequence[str]) -> float:
    """`gzip -9` of all texts, joined by newlines, in bits per byte of the texts."""
    return 8 * len(gzip.compress(_joined(texts), compresslevel=9, mtime=0)) / _num_bytes(texts)


def xz_bits_per_byte(texts: Sequence[str], *, training_texts: Sequence[str] = ()) -> float:
    """`xz -9` of all texts, joined by newlines, in bits per byte of the texts.

    With `training_texts`, what the texts add to the compressed size of those: xz has then seen them.
    """
    if not training_texts:
        return 8 * _xz_size(_joined(texts)) / _num_bytes(texts)
    before = _joined(training_texts)
    with ThreadPoolExecutor(max_workers=2) as pool:  # lzma lets go of the interpreter lock
        with_texts, without = pool.map(_xz_size, (before + b"\n" + _joined(texts), before))
    return 8 * (with_texts - without) / _num_bytes(texts)


def kneser_ney_bits_per_byte(
    tokenizer: Tokenizer, texts: Sequence[str], *, training_ids: NDArray[np.integer], order: int = 5
) -> BitsPerByte:
    """An interpolated modified Kneser-Ney model of a stream of documents, measured on `texts` as models are.

    `training_ids` are the documents one after the other, each with its start token first, as in token shards.
    """
    model = KneserNey(training_ids, bos_id=tokenizer.bos_id, vocab_size=tokenizer.vocab_size, order=order)
    encoded = passages.documents(tokenizer, texts)
    ids = np.concatenate([np.array(document.ids) for document in encoded])
    borders = np.cumsum([len(document.ids) - 1 for document in encoded])[:-1]
    return summarise(texts, np.split(model.log_likelihoods(ids), borders))


def _joined(texts: Sequence[str]) -> bytes:
    return "\n".join(texts).encode()


def _num_bytes(texts: Sequence[str]) -> int:
    return max(1, sum(len(text.encode()) for text in texts))


def _xz_size(data: bytes) -> int:
    """Bytes of `xz -9`. A dictionary as large as the data is as good as xz's 64 MB and takes less memory."""
    dictionary = min(1 << 26, max(4096, len(data)))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": dictionary}]
    return len(lzma.compress(data, format=lzma.FORMAT_XZ, filters=filters))
