"""How much of a page's article an extractor finds, and how fast, on pages whose article is known.

    python workbench/bench/corpus_extract.py FOLDER [workbench|resiliparse|trafilatura]

FOLDER holds any of
    article_extraction/ground-truth.json    {KEY: {"articleBody": …}}, and html/KEY.html[.gz]
    readability/NAME/                       source.html[.gz] and expected.html[.gz]
    segments/ground-truth.json              {FILE: {"with": […], "without": […]}}, and html/FILE[.gz]

F1 is over runs of four words, precision and recall per page, averaged over pages. Needs nothing of ours but for the
contender `workbench`, so a peer is measured by running this file with the Python that has it. One thread, CPU seconds.
"""

from __future__ import annotations

import gzip
import html
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_RUN = 4
_MARKUP = re.compile(r"(?s)<(script|style)\b.*?</\1>|<[^>]+>")

Extractor = Callable[[bytes], str]


def extractor_of(name: str) -> Extractor:
    """The function from the bytes of a page to its article."""
    if name == "workbench":
        from workbench.corpus.extract.html_page import read_page
        from workbench.corpus.extract.settings import HtmlLimits
        from workbench.data.strict_json import RecordError

        def ours(data: bytes) -> str:
            try:
                return read_page(data, limits=HtmlLimits()).text
            except RecordError:
                return ""

        return ours
    if name == "resiliparse":
        from resiliparse.extract.html2text import extract_plain_text
        from resiliparse.parse.encoding import bytes_to_str, detect_encoding

        return lambda data: str(
            extract_plain_text(
                bytes_to_str(data, detect_encoding(data) or "utf-8"),
                main_content=True,
                alt_texts=False,
                comments=False,
            )
        )
    import trafilatura

    return lambda data: str(trafilatura.extract(data) or "")


def rows(folder: Path, name: str) -> dict[str, Any]:
    """F1, or shares of segments, by set of pages, and MB and pages per CPU second over all of them."""
    extract = extractor_of(name)
    found: dict[str, Any] = {"contender": name}
    num_pages, num_bytes, seconds = 0, 0, 0.0

    def timed(data: bytes) -> str:
        nonlocal num_pages, num_bytes, seconds
        started = time.process_time()
        text = extract(data)
        seconds += time.process_time() - started
        num_pages, num_bytes = num_pages + 1, num_bytes + len(data)
        return text

    extract(b"<p>warm</p>")
    for kind, pages in (("articles", _articles(folder)), ("readability", _readability(folder))):
        scores = [_precision_recall(timed(data), article) for data, article in pages]
        if scores:
            precision, recall = (sum(each) / len(scores) for each in zip(*scores, strict=True))
            found[kind] = {
                "f1": 2 * precision * recall / (precision + recall),
                "precision": precision,
                "recall": recall,
            }
    wanted, there, unwanted, absent = 0, 0, 0, 0
    for data, truth in _segments(folder):
        text = " ".join(timed(data).split())
        there += sum(" ".join(each.split()) in text for each in truth["with"])
        absent += sum(" ".join(each.split()) not in text for each in truth["without"])
        wanted, unwanted = wanted + len(truth["with"]), unwanted + len(truth["without"])
    if wanted and unwanted:
        found["segments"] = {"with_found": there / wanted, "without_absent": absent / unwanted}
    return {**found, "pages_per_second": num_pages / seconds, "mb_per_second": num_bytes / 1e6 / seconds}


def _articles(folder: Path) -> Iterator[tuple[bytes, str]]:
    truth = folder / "article_extraction" / "ground-truth.json"
    for key, page in (json.loads(truth.read_bytes()) if truth.exists() else {}).items():
        yield _read(truth.parent / "html" / f"{key}.html"), page["articleBody"]


def _readability(folder: Path) -> Iterator[tuple[bytes, str]]:
    for page in sorted((folder / "readability").glob("*/")):
        expected = _read(page / "expected.html").decode("utf-8", "replace")
        yield _read(page / "source.html"), html.unescape(_MARKUP.sub(" ", expected))


def _segments(folder: Path) -> Iterator[tuple[bytes, dict[str, list[str]]]]:
    truth = folder / "segments" / "ground-truth.json"
    for name, page in (json.loads(truth.read_bytes()) if truth.exists() else {}).items():
        yield _read(truth.parent / "html" / name), page


def _read(path: Path) -> bytes:
    packed = path.with_name(path.name + ".gz")
    return gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()


def _precision_recall(found: str, wanted: str) -> tuple[float, float]:
    runs_found, runs_wanted = _runs(found), _runs(wanted)
    both = (runs_found & runs_wanted).total()
    return both / max(1, runs_found.total()), both / max(1, runs_wanted.total()) if runs_wanted else 1.0


def _runs(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[at : at + _RUN]) for at in range(max(len(words) - _RUN + 1, bool(words))))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(rows(Path(sys.argv[1]), (sys.argv[2:] or ["workbench"])[0]), indent=2) + "\n")
