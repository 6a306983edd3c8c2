"""The tokenizer that a reference means: a model's, or that of a run which has no model yet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import NotFound

if TYPE_CHECKING:
    from workbench.tokenizer import Tokenizer


def find_tokenizer(reference: str, *, home: Path | None) -> Tokenizer:
    """The tokenizer of a model, of a run, or of a folder with a tokenizer.json. Raises NotFound or BadInput."""
    from workbench.launcher import frozen_plan
    from workbench.references import open_checkpoint
    from workbench.runs import find_home, open_run
    from workbench.tokenizer import Tokenizer

    if (Path(reference) / "tokenizer.json").is_file():
        return Tokenizer.load(Path(reference))
    try:
        return open_checkpoint(reference, Tokenizer.load, home=home)
    except NotFound:
        plan = frozen_plan(open_run(find_home(home), re.split("[/@]", reference, maxsplit=1)[0]))
        for stage in plan.stages:
            if stage.makes.kind == "tokenizer" and plan.store.exists(stage.makes):
                return Tokenizer.load(plan.store.folder(stage.makes))
        raise
