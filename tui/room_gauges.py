"""Every figure of the rooms (plan, corpus, tokens, chat, eval), explained like those of a run in `gauges`."""

from __future__ import annotations

from workbench.eval_terms import BASELINES, METRICS, QUESTIONS, TASKS, Explanation

CHINCHILLA = "Hoffmann et al. 2022, Training Compute-Optimal Large Language Models"

PLANNING = (
    Explanation(
        "parameters",
        "The numbers that training adjusts, nearly all in the matrices of the layers. Twice as many want "
        "about twice as much text and cost four times the time.",
        CHINCHILLA,
    ),
    Explanation(
        "time",
        "Computed from the arithmetic of the stages and the speed of this machine, or measured where "
        "earlier runs left figures. Other programs on the machine make it longer.",
    ),
    Explanation(
        "reused",
        "The same stage with the same settings and inputs was made before, so that its result is taken. A "
        "changed key makes again only what depends on it.",
    ),
)

CHATTING = (
    Explanation(
        "temperature",
        "Divides the model's scores before one token is drawn: below 1 it keeps to what is likely, at 0 "
        "it always takes the likeliest. Small models ramble above 0.8: /set temperature 0.5.",
        "Holtzman et al. 2020, The Curious Case of Neural Text Degeneration",
    ),
    Explanation(
        "top_p",
        "Draws only among the likeliest tokens that together hold this share of the probability. It cuts "
        "the long tail of nonsense and leaves variety where several words fit: /set top_p 0.9.",
        "Holtzman et al. 2020, The Curious Case of Neural Text Degeneration",
    ),
    Explanation(
        "context",
        "How many tokens the model sees at once, the conversation so far included. What falls out of it "
        "is forgotten; ctrl+n begins anew.",
        "Vaswani et al. 2017, Attention Is All You Need",
    ),
    Explanation(
        "conversation",
        "It is kept until ctrl+n and goes on when its model is talked to again, also the next time the app is opened. "
        "/save talk.json writes it into a file, and /load talk.json goes on from one, here and in `workbench chat`.",
    ),
    Explanation(
        "beside",
        "A second model hears the conversation of the first, with the first one's replies, and then what you say to "
        "both. So they start from the same words; ctrl+r lets both answer the last message again.",
        "Zheng et al. 2023, Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena",
    ),
    Explanation(
        "tok/s",
        "Tokens written per second. The first one takes longer: the whole conversation is read before it.",
    ),
)

CORPUS = (
    Explanation(
        "funnel",
        "Every record that was read, and how many each step let through, in the order of the steps. The lines below a "
        "step are the reasons why the rest went, each with samples.",
        "Penedo et al. 2024, The FineWeb Datasets, section 3",
    ),
    Explanation(
        "left out, or kept",
        "A filter measures each document and compares the figure with a threshold of the recipe. The bars show how all "
        "documents are spread, and the arrow where the threshold cuts.",
        "Rae et al. 2021, Gopher, appendix A",
    ),
    Explanation(
        "exact duplicates",
        "The same text again, after case and white space are folded. The first copy stays; reading a text often "
        "teaches it by heart instead of teaching the language.",
        "Lee et al. 2022, Deduplicating Training Data Makes Language Models Better",
    ),
    Explanation(
        "near duplicates",
        "Texts that share most of their runs of words, found by MinHash. One of each cluster of copies stays.",
        "Broder 1997, On the Resemblance and Containment of Documents",
    ),
    Explanation(
        "decontamination",
        "Documents that hold items of the tests are left out. A model that has read the answers is measured too well.",
        "Brown et al. 2020, Language Models are Few-Shot Learners, section 4",
    ),
    Explanation(
        "held out",
        "Documents that are never trained on, so that the loss on them is honest. Which ones is decided by a hash of "
        "the text, so that a new source moves none.",
        "Gao et al. 2020, The Pile, section 3.1",
    ),
    Explanation(
        "invisible characters",
        "Tabs, spaces at line ends, line ends and control characters are drawn as signs; v hides them. They are part "
        "of what the model learns, so that broken text is found here.",
        "Unicode Technical Report 36, Unicode Security Considerations",
    ),
)

CUTTING = (
    Explanation(
        "token",
        "A piece of text with a number of its own: what the model reads and writes instead of letters. The line │ "
        "stands between two, and every second one has another ground.",
        "Sennrich et al. 2016, Neural Machine Translation of Rare Words with Subword Units",
    ),
    Explanation(
        "bytes/token",
        "How much text a token holds on average; more is shorter texts and less to compute. Text unlike the corpus "
        "that the tokenizer learned from is cut into more pieces.",
        "Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.2",
    ),
    Explanation(
        "⟨C3⟩",
        "A single byte of a character that has several. Every text can be written with the 256 bytes, so that nothing "
        "is unknown to the tokenizer; rare characters cost more tokens.",
        "Wang et al. 2020, Neural Machine Translation with Byte-Level Subwords",
    ),
    Explanation(
        "ids",
        "The numbers of the tokens, as the model gets them. The first 256 are usually the bytes, and small numbers the "
        "pieces that were learned first: the most frequent.",
        "Sennrich et al. 2016, Neural Machine Translation of Rare Words with Subword Units",
    ),
)

EVALUATING = (
    Explanation(
        "± (standard error)",
        "How much the score would vary if other questions of the same kind were asked. Differences below "
        "about two of them say nothing.",
        "Miller 2024, Adding Error Bars to Evals",
    ),
    Explanation(
        "n",
        "How many questions were asked. The error shrinks with its root: four times the questions halve it.",
        "Miller 2024, Adding Error Bars to Evals",
    ),
    Explanation(
        "▲ ▼ ·",
        "Surely better, surely worse, or not different from the stage before, at 95 %. A dot says that the questions "
        "were too few to tell, not that nothing changed.",
        "Card et al. 2020, With Little Power Comes Great Responsibility",
    ),
    Explanation(
        "no model",
        "What needs no neural network: packers (gzip, xz), word statistics (Kneser-Ney), or chance. A model that does "
        "not beat them has learned nothing that counting could not.",
        "Kneser and Ney 1995; Delétang et al. 2023, Language Modeling Is Compression",
    ),
    *TASKS,
    QUESTIONS,
    *METRICS,
    *BASELINES,
)

MACHINE = (
    Explanation(
        "threads",
        "The cores that training uses at once: one thread for each physical core. Two on one core, or more than a "
        "container grants, only wait for each other.",
        "Goto and van de Geijn 2008, Anatomy of High-Performance Matrix Multiplication",
    ),
    Explanation(
        "load",
        "How many processes want to run, on average over a minute. Above the number of cores all are slower, and what "
        "is measured now is not what the machine can do.",
        "Linux manual, proc_loadavg(5)",
    ),
    Explanation(
        "instructions",
        "What the processor can do in one go. Those for bfloat16 make matrix products two to three times as fast at "
        "half the memory, at a precision that training does not miss.",
        "Kalamkar et al. 2019, A Study of BFLOAT16 for Deep Learning Training",
    ),
    Explanation(
        "durable write",
        "How long the disk takes to promise that a block survives a power cut. A promise in no time at all is none; "
        "checkpoints wait for a few of them.",
        "Pillai et al. 2014, All File Systems Are Not Created Equal",
    ),
    Explanation(
        "GFLOP/s, GB/s",
        "Arithmetic in a large product and bytes moved in a large copy, measured now: no training step can be faster. "
        "MFU is its share of the first.",
        "Williams, Waterman, Patterson 2009, Roofline",
    ),
)
