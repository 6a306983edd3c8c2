"""What every eval task asks and what every figure of a scorecard means: two sentences and a source.

One table for `workbench tasks NAME` and for the app. Data; how a task is measured is the business of workbench.evals.
"""

from __future__ import annotations

from dataclasses import dataclass

CLEAN = "_clean"
"""Ends the name of a figure that leaves out what stands in training text."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What something is, in two sentences, and who says so."""

    name: str
    text: str
    source: str = ""


TASKS = (
    Explanation(
        "heldout",
        "The model reads the documents that were kept out of its corpus, each on its own, and is charged for "
        "every byte that surprises it. It tells how well the language of the corpus was learned, not what the "
        "model can do with it.",
        "Gao et al. 2020, The Pile, section 3.1",
    ),
    Explanation(
        "python-names",
        "A true summary is put beside four Python names that training never saw described; the model should "
        "find it likeliest for its own name. A blind guess is right a quarter of the time.",
        "Brown et al. 2020, Language Models are Few-Shot Learners, section 2.4",
    ),
    Explanation(
        "python-names-hard",
        "The same, and the three wrong names come from the same package as the right one. What helped by "
        "sounding like the topic helps no longer, so scores are lower.",
        "Zellers et al. 2018, SWAG: A Large-Scale Adversarial Dataset",
    ),
    Explanation(
        "python-everyday",
        "`What does len do?` and the like, names that everybody uses, answered word by word without chance. "
        "It asks what was remembered: these names are part of fine-tuning.",
        "Rajpurkar et al. 2016, SQuAD, section 6",
    ),
    Explanation(
        "python-replies",
        "The same question about names that training never saw described, judged by form alone. Small models "
        "cannot know these answers, but they can learn how an answer looks and where it ends.",
        "Zhou et al. 2023, Instruction-Following Evaluation for Large Language Models",
    ),
    Explanation(
        "python-preferences",
        "Pairs of a true and a wrong summary of a name: the model should rather say the true one. Half is "
        "chance; it is what preference training works on.",
        "Lambert et al. 2024, RewardBench",
    ),
)

QUESTIONS = Explanation(
    "questions of a file",
    "Multiple choice from your own .jsonl file: the answer that the model finds likeliest counts as its "
    "own. One divided by the number of answers is chance.",
    "Brown et al. 2020, Language Models are Few-Shot Learners, section 2.4",
)

METRICS = (
    Explanation(
        "bits_per_byte",
        "How many bits the model needs for each byte of text that it never read; less is better, and 8 would "
        "be the text itself. It can be compared between models with different tokenizers, and with packers.",
        "Gao et al. 2020, The Pile, section 3.1",
    ),
    Explanation(
        "perplexity",
        "Between how many equally likely tokens the model is undecided; less is better. It depends on the "
        "tokenizer, so compare it only where the tokenizer is the same.",
        "Jelinek et al. 1977, Perplexity: a measure of the difficulty of speech recognition tasks",
    ),
    Explanation(
        "acc",
        "The share of the questions that were answered right: of several answers, the one that the model "
        "finds likeliest counts as its own. 0 is none, 1 is all.",
        "Brown et al. 2020, Language Models are Few-Shot Learners, section 2.4",
    ),
    Explanation(
        "acc_norm",
        "Like acc, with the likelihood of each answer divided by its length in bytes. A long answer is less "
        "likely only for being long, and that is taken out.",
        "Gao et al. 2021, A framework for few-shot language model evaluation",
    ),
    Explanation(
        "mostly_right",
        "The share of the replies that have most of their words in common with the true answer: a word_f1 of "
        "0.6 or more. It is stricter than it looks, for other words that mean the same do not count.",
        "Rajpurkar et al. 2016, SQuAD, section 6",
    ),
    Explanation(
        "word_f1",
        "How many words a reply and the true answer share, between 0 and 1: the harmonic mean of the share of "
        "its words that are right and of the right words that it has. Their order does not count.",
        "Rajpurkar et al. 2016, SQuAD, section 6",
    ),
    Explanation(
        "stopped",
        "The share of the replies that ended by themselves before the limit. A model that has not learned "
        "where an answer ends goes on, and often repeats itself.",
        "Welleck et al. 2020, Consistency of a Recurrent Language Model With Respect to Incomplete Decoding",
    ),
    Explanation(
        "right_form",
        "The share of the replies that ended by themselves and read as whole sentences. It says nothing of "
        "their truth.",
        "Zhou et al. 2023, Instruction-Following Evaluation for Large Language Models",
    ),
    Explanation(
        "likelihood_acc",
        "The share of the pairs in which the better reply is the likelier one, by its length in bytes. Half "
        "is chance.",
        "Lambert et al. 2024, RewardBench",
    ),
    Explanation(
        "margin_acc",
        "The share of the pairs in which training moved the model more towards the better reply than towards "
        "the worse one. It is measured against the model that preference training began with; half is chance.",
        "Rafailov et al. 2023, Direct Preference Optimization, section 4",
    ),
    Explanation(
        CLEAN,
        "The same figure without the items that stand in the training text. Where it is much lower, the model "
        "has learned them by heart.",
        "Dodge et al. 2021, Documenting Large Webtext Corpora",
    ),
)

BASELINES = (
    Explanation(
        "gzip",
        "The size of the documents packed by gzip, all as one text, in bits per byte. It finds repetitions "
        "within the last 32 kB and knows no language.",
        "Deutsch 1996, RFC 1952; Delétang et al. 2023, Language Modeling Is Compression",
    ),
    Explanation(
        "xz",
        "The same by xz, which finds repetitions however far apart they are. With training text, it may look "
        "things up in what the model learned from.",
        "Delétang et al. 2023, Language Modeling Is Compression",
    ),
    Explanation(
        "kneser-ney-5",
        "What counting gives: each token is guessed from the four before it, by how often they stood together "
        "in the training text. A network should need fewer bits than that.",
        "Kneser and Ney 1995; Chen and Goodman 1999, An empirical study of smoothing techniques",
    ),
    Explanation(
        "lexical-overlap",
        "How often spelling alone finds the name: the one that shares most word stems with the summary. A "
        "score below it may come from spelling too.",
        "Gururangan et al. 2018, Annotation Artifacts in Natural Language Inference Data",
    ),
)

_BY_NAME = {each.name: each for each in (*TASKS, *METRICS, *BASELINES)} | {
    "xz-with-training-text": next(each for each in BASELINES if each.name == "xz")
}


def explain_task(name: str) -> Explanation:
    """What the task of that name asks; any other name is a file of questions."""
    return next((each for each in TASKS if each.name == name), QUESTIONS)


def explain_metric(name: str) -> Explanation | None:
    """What the figure, baseline or task of that name means, `_clean` or not; None for one that nobody knows."""
    return _BY_NAME.get(name) or _BY_NAME.get(name.removesuffix(CLEAN))
