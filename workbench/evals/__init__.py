"""What a model is worth: measured on data it never saw, beside what needs no model.

    likelihood.py        ln p of token sequences, batched; everything below asks here
    passages.py          text to those sequences: documents, continuations, chat replies
    bits_per_byte.py     whole documents          multiple_choice.py  the likeliest candidate
    replies.py           greedy chat replies      preferences.py      the better of two replies
    baselines.py         gzip, xz, and kneser_ney.py, the n-gram model
    tasks.py measures.py scorecard.py             names and needs; how each is measured; the results

Nothing is imported here, so that importing one room does not open all.
"""
