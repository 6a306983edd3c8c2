"""What SFT and DPO do alike beside the loop: their examples, and replies to look at.

Not a stage: there is no [fine_tuning] table. The loop itself stands in plain sight in sft.py and dpo.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from workbench.data.conversations import Conversation, Message
from workbench.data.examples import ExampleSet, sample
from workbench.data.lessons import Lesson
from workbench.data.preferences import Preference
from workbench.model.generate import generate_batch
from workbench.model.transformer import Decoder
from workbench.stage_run import StageRun
from workbench.tokenizer import Tokenizer, render, stop_ids

HELDOUT_EXAMPLES = 256  # a standard error of 0.03 on a share, in a second of a small model's time
SAMPLE_PROMPTS = 3
SAMPLE_TOKENS = 64


def flops_per_learned_token(model: Decoder, lessons: Sequence[Lesson]) -> float:
    """Training FLOPs per learned token: speed is told in those, but the model reads every token."""
    read = sum(lesson.num_inputs for lesson in lessons)
    learned = sum(lesson.num_learned for lesson in lessons)
    return model.config.flops_per_token(read // len(lessons)) * read / learned


def announce_sources(run: StageRun, examples: ExampleSet[Any]) -> None:
    """Say of every source which format was detected, how much it gave and what was rejected."""
    for source in examples.sources:
        (run.warning if source.rejected else run.note)(source.one_line())


def source_figures(examples: ExampleSet[Any]) -> dict[str, Any]:
    """The figures of the sources for the stage's summary."""
    rejected: Counter[str] = Counter()
    for source in examples.sources:
        rejected.update(source.rejected)
    return {
        "formats": sorted({source.format for source in examples.sources}),
        "examples": len(examples.train),
        "heldout_examples": len(examples.heldout),
        "rejected": rejected.total(),
        "rejected_by_reason": dict(rejected.most_common(10)),
    }


# -- replies to look at ------------------------------------------------------------------------------


def sample_prompts(
    heldout: Sequence[Conversation] | Sequence[Preference], tokenizer: Tokenizer, *, context_length: int
) -> list[tuple[Message, ...]]:
    """A few held-out prompts, different ones, that leave half of the context for the reply."""
    chosen: list[tuple[Message, ...]] = []
    for example in sample(heldout, 8 * SAMPLE_PROMPTS, seed=0):
        prompt = example.prompt if isinstance(example, Preference) else example.messages[:-1]
        length = len(render(tokenizer, prompt, add_generation_prompt=True).ids)
        if prompt not in chosen and 2 * length <= context_length:
            chosen.append(prompt)
    return chosen[:SAMPLE_PROMPTS]


def emit_samples(
    run: StageRun, step: int, model: Decoder, tokenizer: Tokenizer, prompts: Sequence[tuple[Message, ...]]
) -> None:
    """Let the model answer each prompt, greedily, and emit what it says."""
    ids = [render(tokenizer, prompt, add_generation_prompt=True).ids for prompt in prompts]
    replies = generate_batch(model, ids, max_new_tokens=SAMPLE_TOKENS, stop_ids=stop_ids(tokenizer))
    for prompt, reply in zip(prompts, replies, strict=True):
        run.emit("sample", step=step, prompt=prompt[-1].content, text=tokenizer.decode(reply.ids))
