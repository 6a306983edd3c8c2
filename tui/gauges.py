"""Every figure of a run, explained in two sentences with a source. Data for the help; knows no widget.

Those of the rooms are in `room_gauges`. `recipe_key` explains a key of a recipe from its own docstring, so that it is
written once, where the key is.
"""

from __future__ import annotations

from tui.room_gauges import CHATTING, CHINCHILLA, CORPUS, CUTTING, EVALUATING, MACHINE, PLANNING
from workbench.eval_terms import Explanation

LOSS = "Shannon 1948, A Mathematical Theory of Communication"
DPO = "Rafailov et al. 2023, Direct Preference Optimization"
PPO = "Ouyang et al. 2022, Training language models to follow instructions"

TRAINING = (
    Explanation(
        "step",
        "One step reads a batch, sees how wrong the model was, and moves every weight a little against "
        "the error. How many there are is the tokens of the recipe divided by the tokens of a batch.",
        "Goodfellow, Bengio, Courville 2016, Deep Learning, ch. 8",
    ),
    Explanation(
        "loss",
        "How surprised the model is by each next token of the text, in nats: 0 is certain, ln(vocabulary) "
        "is a blind guess (8.3 for 4,096 entries). It falls fast, then ever slower; a straight line on a "
        "logarithmic x axis is health.",
        f"{LOSS}; Kaplan et al. 2020, Scaling Laws for Neural Language Models",
    ),
    Explanation(
        "held-out loss (◆)",
        "The loss on documents that training never reads, so that learning by heart cannot help. Training "
        "falling on while this turns up means the corpus is being memorised: more text, fewer passes or "
        "more weight decay.",
        "Muennighoff et al. 2023, Scaling Data-Constrained Language Models",
    ),
    Explanation(
        "▵ ↻ ↶ ^ ✗",
        "Under a chart: ▵ a checkpoint, ↻ work was taken up again, ↶ it went back to a checkpoint after a spike. In "
        "it: ^ something lies far above the picture (a shows all of it), ✗ a value that was not a number.",
    ),
    Explanation(
        "╭ ╮",
        "Under a chart: ╭ the warmup is over and the learning rate at its peak, ╮ its decay begins. The loss falls "
        "faster in the decay, because the noise of large steps goes: compare losses at equal phases.",
        "Hägele et al. 2024, Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations",
    ),
    Explanation(
        "bits/byte",
        "The held-out loss divided by ln 2 and by the UTF-8 bytes of the text: how well the model would "
        "compress it. Unlike the loss per token it can be compared between models with different "
        "tokenizers.",
        "Gao et al. 2020, The Pile, section 3.1",
    ),
    Explanation(
        "perplexity",
        "e to the power of the loss: between how many equally likely tokens the model is undecided. It "
        "depends on the tokenizer, so compare it only where the tokenizer is the same.",
        "Jelinek et al. 1977, Perplexity: a measure of the difficulty of speech recognition tasks",
    ),
    Explanation(
        "gradient norm",
        "How strongly one batch pulls at all weights together. A single spike is an odd batch, and is "
        "skipped when it stands out by six sigma; a norm that climbs for long means the learning rate is "
        "too high.",
        "Chowdhery et al. 2022, PaLM, section 5.1; Takase et al. 2023, Spike No More",
    ),
    Explanation(
        "learning rate",
        "How far a step moves the weights. It warms up because the optimizer's averages know nothing in "
        "the first steps, and falls at the end because small steps settle where large ones jump about.",
        "Goyal et al. 2017, Accurate, Large Minibatch SGD; Hägele et al. 2024 on warmup, stable, decay",
    ),
    Explanation(
        "tokens",
        "How much text was read, in the tokenizer's pieces, each about four bytes of English. About 20 "
        "tokens per parameter spend a fixed amount of computing best; small models that are used a lot "
        "are worth many more.",
        CHINCHILLA,
    ),
    Explanation(
        "speed",
        "Tokens trained on per second, smoothed. It drops while something is evaluated or saved; a "
        "lasting drop means another program, a hot processor, or data that comes too slowly.",
    ),
    Explanation(
        "MFU",
        "Model FLOPs utilisation: the arithmetic the model needs, as a share of what the hardware could "
        "do at best. 40 % is good on one GPU; small models stay far below because their matrices are too "
        "small to fill it.",
        "Chowdhery et al. 2022, PaLM, appendix B",
    ),
    Explanation(
        "data wait",
        "The share of time in which training stood still because the next batch was not ready. Above 5 % "
        "a faster disk, or fewer programs beside it, make the run quicker.",
    ),
    Explanation(
        "core wait",
        "The share of time in which a thread that trains had work and no core, as other programs used it. Training "
        "goes on to the same bits, but slower than that share: each operation waits for its last thread.",
        "Linux, Documentation/scheduler/sched-stats: time spent waiting on a runqueue",
    ),
    Explanation(
        "memory",
        "What the worker keeps in memory: weights, gradients, the optimizer's averages (two more per "
        "weight for AdamW) and what the backward pass needs. The last grows with the batch; "
        "`micro_batch_tokens` makes it smaller at no cost in quality.",
        "Rajbhandari et al. 2020, ZeRO, section 3",
    ),
    Explanation(
        "left",
        "The time until this stage ends, if it goes on at the speed of the last steps. The first line tells it of "
        "the whole run, with later stages as planned (~ beside those); ± grows with how far the plan was off.",
    ),
    Explanation(
        "GPU",
        "In how much of the last moments the GPU had any work, and how hot it is. Below 90 % something else holds "
        "it up: data, saving, or a model too small to fill it; MFU tells how well the work is done.",
        "NVIDIA, NVML API reference: nvmlUtilization_t",
    ),
    Explanation(
        "GPU memory",
        "What all programs hold on the GPU, of what it has. Training needs headroom for its largest step: above "
        "95 % lower `micro_batch_tokens`.",
        "NVIDIA, NVML API reference: nvmlMemory_t",
    ),
    Explanation(
        "GPU power, clock",
        "What the GPU draws of what it may, and how fast it runs. Held: power or heat keeps the clock down, and "
        "steps take longer until that is over.",
        "NVIDIA, NVML API reference: clocks event reasons",
    ),
    Explanation(
        "sample",
        "What the model writes after a fixed prompt, always the same ones, so that you can watch it "
        "learn. Single letters come first, then words, then grammar; sense comes last and needs more "
        "parameters and text.",
        "Eldan and Li 2023, TinyStories",
    ),
    Explanation(
        "dpo loss",
        "Falls as the chosen answer gains on the rejected one: ln 2 = 0.693 says that both gained alike, 0 that there "
        "is no doubt. Where the recipe has a `chosen_nll_weight`, the loss of writing the chosen answer comes on top.",
        DPO,
    ),
    Explanation(
        "reward",
        "What the judge gives the model's own answers, on average over a batch. It should rise while KL stays low; "
        "its height means nothing in itself, only against the same judge.",
        PPO,
    ),
    Explanation(
        "reward margin",
        "By how much the model now prefers the chosen answer to the rejected one, more than the model it "
        "started from did. It starts at 0 and should rise; when it climbs on while the held-out accuracy "
        "stands still, it is learning the pairs by heart.",
        DPO,
    ),
    Explanation(
        "accuracy",
        "In how many pairs the chosen answer has the higher reward. 50 % is chance at the start; near 100 "
        "% the pairs are too easy or are learned by heart.",
        DPO,
    ),
    Explanation(
        "chosen, rejected",
        "How much likelier each answer became against the starting model. Both often fall; that is "
        "harmless while rejected falls faster, and a warning when chosen falls steeply.",
        "Pal et al. 2024, Smaug: Fixing Failure Modes of Preference Optimisation",
    ),
    Explanation(
        "KL",
        "How far the model's choices have moved from those of the model it started from, in nats. A "
        "reward that rises with a running-away KL is being cheated, not earned.",
        f"{PPO}; Gao et al. 2022, Scaling Laws for Reward Model Overoptimization",
    ),
    Explanation(
        "entropy",
        "How undecided the model is about the next token. When it collapses towards 0 the model says "
        "always the same, and there is nothing left to learn from.",
        "Mnih et al. 2016, Asynchronous Methods for Deep Reinforcement Learning",
    ),
)

STAGES = (
    Explanation(
        "start",
        "Takes the weights, the shape and the tokenizer of a model that is there: a folder in Hugging Face format, or "
        "a checkpoint of yours. What follows goes on from there instead of from nothing.",
        "Howard and Ruder 2018, Universal Language Model Fine-tuning for Text Classification",
    ),
    Explanation(
        "corpus",
        "Reads the sources, takes out what is broken, foreign or said before, and sets some documents "
        "aside to measure with. What a model reads decides more about it than anything later.",
        "Penedo et al. 2024, The FineWeb Datasets",
    ),
    Explanation(
        "tokenizer",
        "Learns the pieces that text is cut into: frequent words become one piece, rare ones several. "
        "More pieces make texts shorter and the model's first and last layer bigger.",
        "Sennrich et al. 2016, Neural Machine Translation of Rare Words with Subword Units",
    ),
    Explanation(
        "pack",
        "Cuts all documents with the tokenizer and lays them in rows of equal length, shuffled once and "
        "for all. That makes every run of the recipe read the same rows in the same order.",
    ),
    Explanation(
        "pretrain",
        "The model reads the corpus and learns to guess each next token; all its knowledge comes from "
        "here. It can then continue a text, but not answer.",
        "Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
    ),
    Explanation(
        "sft",
        "Supervised fine-tuning: examples of questions and answers, with the loss on the answers only. It "
        "teaches the manner of a conversation, hardly any new fact.",
        PPO,
    ),
    Explanation(
        "dpo",
        "Pairs of a better and a worse answer: the model learns to make the better one likelier. It needs "
        "no reward model and is held close to where it started.",
        DPO,
    ),
    Explanation(
        "ppo",
        "The model answers, a reward model judges, and what was judged well becomes likelier. Powerful "
        "and touchy: watch KL and entropy beside the reward.",
        PPO,
    ),
    Explanation(
        "eval",
        "Tasks with known answers, each figure with its standard error. Two scores differ only when they "
        "are further apart than about two of those.",
        "Miller 2024, Adding Error Bars to Evals",
    ),
)

STATES = (
    Explanation(
        "● running",
        "A process is at work on it now; it would go on without this window.",
    ),
    Explanation(
        "◐ paused",
        "It has saved, keeps its memory and waits. P lets it go on.",
    ),
    Explanation(
        "✓ finished",
        "All stages are done: t talks to its model.",
    ),
    Explanation(
        "◌ stopped",
        "It ended because somebody asked. R goes on from what it saved, as if nothing had been.",
    ),
    Explanation(
        "✗ failed",
        "It ended with an error, which its screen shows. After mending the cause R goes on.",
    ),
    Explanation(
        "? crashed",
        "Its process is gone without a last word: killed, out of memory, or the machine went down. What "
        "it saved is whole; R goes on from there.",
    ),
    Explanation(
        "○ starting",
        "It was started and has not yet said anything.",
    ),
)

TOPICS: dict[str, tuple[Explanation, ...]] = {
    "home": (*STATES, *STAGES),
    "run": (*TRAINING, *STAGES, *STATES),
    "compare": TRAINING,
    "start": (*PLANNING, *STAGES),
    "recipe": PLANNING,
    "plan": PLANNING,
    "corpus": CORPUS,
    "documents": CORPUS,
    "clusters": CORPUS,
    "tokens": CUTTING,
    "chat": CHATTING,
    "scores": EVALUATING,
    "failures": EVALUATING,
    "doctor": MACHINE,
}
"""What a kind of screen shows, by its name without `Screen` and in small letters."""


def recipe_key(dotted: str) -> Explanation | None:
    """What a key of a recipe (`pretrain.learning_rate`) is, from its docstring; None when there is no such key."""
    from workbench.recipe_vocabulary import all_tables, describe_key

    name, _, key = dotted.rpartition(".")
    table = all_tables().get(name)
    if table is None or key not in table.model_fields:
        return None
    return Explanation(dotted, describe_key(table, key), f"recipes/README.md, [{name}]")
