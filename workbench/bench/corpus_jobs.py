"""What the process does that measures one contender of an area of corpus.py. Imports no torch: peers need none."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def run_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """CPU seconds, memory and the answer of a contender."""
    from workbench.bench.corpus import area_of

    area = area_of(job["area"])
    material = area.load(Path(job["folder"]))
    contender = area.CONTENDERS[job["contender"]]
    contender(area.little(material))
    loaded_mb = _peak_mb()
    began = time.process_time()
    answer = contender(material)
    return {
        "seconds": time.process_time() - began,
        "loaded_mb": loaded_mb,
        "peak_mb": _peak_mb(),
        "answer": answer,
    }


def _peak_mb() -> float:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6
