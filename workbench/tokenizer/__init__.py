"""Text to ids and back: byte-level BPE (bpe.py), the chat format (chat.py), files on disk (folder.py;
gguf.py: in a GGUF file).

The front desk: import from here. Knows nothing of corpora, models or stages.
"""

from workbench.tokenizer.adoption import Adopted, adopt_tokenizer
from workbench.tokenizer.bpe import train_tokenizer
from workbench.tokenizer.chat import (
    CHAT_TEMPLATE,
    EOS_TOKEN,
    PLAIN_CHAT_TEMPLATE,
    SPECIAL_TOKENS,
    Rendered,
    render,
    stop_ids,
)
from workbench.tokenizer.folder import TOKENIZER_FILES
from workbench.tokenizer.round_trip import Compression, prove_round_trip
from workbench.tokenizer.tokenizer import Tokenizer

__all__ = [
    "CHAT_TEMPLATE",
    "EOS_TOKEN",
    "PLAIN_CHAT_TEMPLATE",
    "SPECIAL_TOKENS",
    "TOKENIZER_FILES",
    "Adopted",
    "Compression",
    "Rendered",
    "Tokenizer",
    "adopt_tokenizer",
    "prove_round_trip",
    "render",
    "stop_ids",
    "train_tokenizer",
]
