"""What to change when a stage finds no more memory: the keys that decide how much it holds, not those of another one.

Arithmetic decides before the start what fits (budget.py); this is for what that cannot foresee, and for stages whose
memory no key of training changes.
"""

from __future__ import annotations

from workbench.plan import Plan, StagePlan
from workbench.recipe import Eval, Training
from workbench.recipe_corpus import Corpus

FREE_SOME = "free memory on this machine"


def less_memory(plan: Plan, stage: StagePlan) -> str:
    """How `stage` of `plan` would hold less, in words for the end of an error's line."""
    table = stage.table()
    if isinstance(table, Training):
        return f"lower [{stage.name}] micro_batch_tokens or {smaller_model(plan)}"
    if isinstance(table, Eval):
        return f"lower [eval] batch_size or {smaller_model(plan)}"
    if isinstance(table, Corpus):
        ways = [] if table.workers == 1 else ["set [corpus] workers = 1, each more holds about 200 MB"]
        for key in ("near_duplicates", "repeated_parts"):
            ways += [] if getattr(table, key) is None else [f"lower [corpus.{key}] memory_bytes"]
        return " or ".join(ways) or f"lower [corpus] max_characters or {FREE_SOME}"
    return {
        "start": smaller_model(plan),
        "tokenizer": "lower [tokenizer] sample_bytes",
        "pack": f"lower [corpus] max_characters, for a document is packed whole, or {FREE_SOME}",
    }[stage.name]


def smaller_model(plan: Plan) -> str:
    """How to have a smaller one: a recipe that begins with somebody's model has no size of its own."""
    begins_elsewhere = any(each.name == "start" for each in plan.stages)
    return "start from a smaller model" if begins_elsewhere else "choose a smaller [model] size"
