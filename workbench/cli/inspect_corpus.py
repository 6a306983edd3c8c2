"""What is said of a corpus: a funnel of its steps, why documents were left out with samples, figures, copies.

whole          the funnel, every reason with a sample, how figures are spread, each source
--step S       one step: its reasons and the figures that it goes by
--reason R     samples of one reason, each with the figure that decided, and how that figure is spread
--clusters     who is a copy of whom
"""

from __future__ import annotations

import dataclasses
import difflib
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.cli.inspected import Inspected, fact_lines, shown
from workbench.cli.output import figure
from workbench.corpus_report import decided, limit_of
from workbench.errors import BadInput
from workbench.facts_file import read_facts
from workbench.files import human_bytes, human_duration
from workbench.filter_rules import CHECKS, FILTERS

WIDTH = 80
SAMPLE_CHARACTERS = 100
MANY_SAMPLES = 10
MOST_SOURCES = 12
SHOWN_COPIES = 4
BAR = 20
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"


@dataclasses.dataclass(frozen=True)
class CorpusLook:
    """Which part of a corpus is asked for; none means an overview."""

    samples: int | None = None
    step: str | None = None
    reason: str | None = None
    clusters: bool = False

    @property
    def is_of_a_part(self) -> bool:
        """Whether something was asked that only a corpus can answer."""
        return self.step is not None or self.reason is not None or self.clusters


def corpus(folder: Path, look: CorpusLook) -> Inspected:
    """The answer to `look`. Raises BadInput for a report that is damaged, or a step or reason that is not there."""
    report = read_facts(folder / "report.json")
    try:
        if look.clusters:
            return _clusters(folder, report, look.samples or MANY_SAMPLES)
        if look.step is not None:
            return _step(folder, report, look.step, look.samples or 3)
        if look.reason is not None:
            return _reason(folder, report, look.reason, look.samples or MANY_SAMPLES)
        return _overview(folder, report, 1 if look.samples is None else look.samples)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(
            f"is no report on a corpus ({type(error).__name__}: {shown(str(error), 60)})",
            file=folder / "report.json",
        ) from None


def _overview(folder: Path, report: Mapping[str, Any], samples: int) -> Inspected:
    rejected = {reason: list(_samples(folder, report, reason, samples)) for reason in report["rejected"]}
    facts = {"kind": "corpus", "folder": str(folder), **report, "rejected_samples": rejected}
    lost = sum(report["rejected"].values())
    bad = sum(each["read"]["bad_records"] for each in report["sources"].values())
    lines = [f"corpus  {folder}"]
    lines += fact_lines(
        {
            "read": f"{report['read']:,} records from {len(report['sources'])} source(s)"
            + (f", {bad:,} of them bad" if bad else ""),
            "kept": f"{report['documents']:,} documents, {human_bytes(report['bytes'])}",
            "held out": f"{report['heldout_documents']:,} {report.get('heldout_of', 'documents')}, "
            f"{human_bytes(report['heldout_bytes'])}",
            "rejected": f"{lost:,}" if lost else "none",
            **_took(folder),
        }
    )
    if steps := report.get("steps"):
        lines += ["", *_funnel(steps)]
    if report["rejected"]:
        lines += ["", "left out:"]
    for reason, count in sorted(report["rejected"].items(), key=lambda item: -item[1]):
        lines.append(f"    {shown(reason.replace('_', ' '), 40):<40} {count:>11,}")
        lines += _sample_lines(folder, reason, rejected[reason])
    if copies := report.get("clusters", {}).get("count"):
        lines += ["", f"{copies:,} clusters of copies; `--clusters` shows the largest"]
    lines += _test_items(report.get("contamination"))
    if classifier := report.get("classifier"):
        lines += ["", *_classifier_lines(classifier)]
    if figures := report.get("histograms"):
        lines += ["", "figures of all documents, from the least to the most:"]
        lines += [_spread(name, each) for name, each in figures.items() if each["counts"]]
    lines += ["", *_source_lines(report["sources"], samples)]
    return Inspected(facts, lines)


def _test_items(told: Mapping[str, Any] | None) -> list[str]:
    """Of each evaluation set that was looked for, how many of its items were found."""
    if told is None:
        return []
    done = "left out" if told["action"] == "drop" else "kept and marked"
    plural = "" if told["documents"] == 1 else "s"
    lines = ["", f"test items, found in {told['documents']:,} document{plural}, {done}:"]
    for each in told["sets"]:
        short = f", {each['too_short']:,} too short to tell" if each["too_short"] else ""
        lines.append(f"    {shown(each['name'], 30)}: {each['seen']:,} of {each['items']:,}{short}")
    return lines


def _classifier_lines(classifier: Mapping[str, Any]) -> list[str]:
    """Which classifier judged; of one that was trained, how good it is on examples that it did not see."""
    lines = [f"classifier  {shown(classifier['file'], 60)} ({shown(classifier['digest'], 12)})"]
    if "curve" not in classifier:
        return lines
    lines += fact_lines(
        {
            "trained on": f"{classifier['good']:,} good and {classifier['bad']:,} bad examples",
            "measured on": f"{classifier['heldout_good']:,} good and {classifier['heldout_bad']:,} bad others",
            "area": f"{classifier['area_under_curve']:.3f} under the curve; 0.5 is chance, 1 is perfect",
        }
    )
    lines.append("    from   precision  recall  bad kept")
    lines += [
        f"    {point['threshold']:<4g}   {point['precision']:>9.1%}  {point['recall']:>6.1%}  {point['bad_kept']:>8.1%}"
        for point in classifier["curve"][1::2]
    ]
    return lines


def _step(folder: Path, report: Mapping[str, Any], name: str, samples: int) -> Inspected:
    """One step of the funnel, its reasons with samples, and the figures that it goes by."""
    steps = {each["step"]: each for each in report.get("steps", ())}
    wanted = _known(name.replace(" ", "_"), steps, "step")
    step = steps[wanted]
    reasons = {reason: list(_samples(folder, report, reason, samples)) for reason in step["rejected"]}
    figures = _figures_of(report, (check.figure for check in FILTERS.get(wanted, ())))
    facts = {
        "kind": "corpus",
        "folder": str(folder),
        **step,
        "rejected_samples": reasons,
        "histograms": figures,
    }
    lines = [f"corpus  {folder}", "", *_funnel([step])]
    for reason, count in sorted(step["rejected"].items(), key=lambda item: -item[1]["documents"]):
        amount = f"{count['documents']:,} documents, {human_bytes(count['bytes'])}"
        lines += ["", f"{shown(reason.replace('_', ' '), 40)}: {amount}"]
        lines += _sample_lines(folder, reason, reasons[reason])
    limits = {check.figure: limit_of(folder, check.reason) for check in FILTERS.get(wanted, ())}
    for figure_name, each in figures.items():
        lines += ["", *_histogram(figure_name, each, limit=limits.get(figure_name))]
    return Inspected(facts, lines)


def _reason(folder: Path, report: Mapping[str, Any], name: str, samples: int) -> Inspected:
    """Samples of what was rejected for one reason, and how the figure that decided is spread over all documents."""
    reason = _known(name.replace(" ", "_"), report["rejected"], "reason")
    found = list(_samples(folder, report, reason, samples))
    figures = _figures_of(report, [CHECKS[reason].figure] if reason in CHECKS else [])
    facts = {
        "kind": "corpus",
        "folder": str(folder),
        "reason": reason,
        "count": report["rejected"][reason],
        "samples": found,
        "histograms": figures,
    }
    lines = [f"corpus  {folder}", "", f"{reason.replace('_', ' ')}: {report['rejected'][reason]:,} left out"]
    for figure_name, each in figures.items():
        lines += ["", *_histogram(figure_name, each, limit=limit_of(folder, reason))]
    lines += ["", "samples:", *_sample_lines(folder, reason, found, characters=3 * SAMPLE_CHARACTERS)]
    return Inspected(facts, lines)


def _clusters(folder: Path, report: Mapping[str, Any], most: int) -> Inspected:
    """How large clusters of copies are, and the largest of them."""
    from workbench.data.corpus_folder import CLUSTERS_FILE
    from workbench.data.jsonl_zst import read_jsonl_zst

    told = report.get("clusters", {"count": 0, "sizes": {}})
    path = folder / CLUSTERS_FILE
    found = (
        [each for each, _ in zip(read_jsonl_zst(path), range(most), strict=False)] if path.is_file() else []
    )
    facts = {"kind": "corpus", "folder": str(folder), **told, "largest": found}
    lines = [f"corpus  {folder}", "", f"{told['count']:,} clusters of copies"]
    if told["sizes"]:
        sizes = ", ".join(
            f"{count:,} of {size}{'+' * (int(size) > 8)}" for size, count in told["sizes"].items()
        )
        lines += _wrapped(f"by size: {sizes}", "  ")
    for cluster in found:
        kept = cluster["kept"]
        lines += ["", f"{cluster['size']:,} documents, kept is {shown(str(kept['id']), 50)}"]
        lines += _wrapped(f"“{shown(kept['text'], SAMPLE_CHARACTERS)}”", "    ")
        for copy in cluster["copies"][:SHOWN_COPIES]:
            similar = f", {copy['similarity']:.0%} the same" if "similarity" in copy else ""
            lines.append(f"  {shown(str(copy['id']), 55)}{similar}")
            lines += _wrapped(f"“{shown(copy['text'], SAMPLE_CHARACTERS)}”", "    ")
        if (more := cluster["size"] - 1 - min(SHOWN_COPIES, len(cluster["copies"]))) > 0:
            lines.append(f"  and {more:,} more")
    return Inspected(facts, lines)


def _known(name: str, known: Iterable[str], what: str) -> str:
    names = list(known)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listed = ", ".join(names[:12]) or "none"
    raise BadInput(
        f"the corpus has no {what} {shown(name, 40)!r}",
        fix=f"did you mean {near[0]}?" if near else f"it has {listed}",
    )


def _took(folder: Path) -> dict[str, str]:
    """What making it took, where its manifest tells."""
    manifest = folder / "manifest.json"
    seconds = read_facts(manifest).get("summary", {}).get("seconds", {}) if manifest.is_file() else {}
    if not seconds:
        return {}
    return {"took": ", ".join(f"{name} {human_duration(spent)}" for name, spent in seconds.items())}


def _funnel(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a step: what it kept, as a share of what the first was given, and what it left out."""
    whole = max(steps[0]["in"]["documents"], 1)
    lines = [f"{'step':<20} {'documents':>11} {'':<{BAR}} {'text':>9} {'left out':>11}"]
    for step in steps:
        kept = step["kept"]
        lost = step["in"]["documents"] - kept["documents"]
        lines.append(
            f"{shown(step['step'].replace('_', ' '), 20):<20} {kept['documents']:>11,} "
            f"{_bar(kept['documents'] / whole):<{BAR}} {human_bytes(kept['bytes']):>9} {lost or '–':>11}"
        )
    return lines


def _bar(share: float, width: int = BAR) -> str:
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def _samples(folder: Path, report: Mapping[str, Any], reason: str, most: int) -> Iterator[dict[str, Any]]:
    """Rejected documents: those of the report, which are a fair sample, then more from the file if there are."""
    from workbench.data.jsonl_zst import read_jsonl_zst

    fair = report.get("rejected_samples", {}).get(reason, [])
    yield from fair[:most]
    if len(fair) < min(most, report["rejected"][reason]):
        known = {each["id"] for each in fair}
        left = most - len(fair)
        for record in read_jsonl_zst(folder / "rejected.jsonl.zst"):
            if left <= 0:
                return
            if record["reason"] == reason and record["id"] not in known:
                left -= 1
                yield record


def _sample_lines(
    folder: Path, reason: str, samples: Iterable[Mapping[str, Any]], *, characters: int = SAMPLE_CHARACTERS
) -> list[str]:
    lines = []
    for sample in samples:
        why = decided(reason, sample.get("figure"), limit_of(folder, reason))
        if "copy_of" in sample:
            why += f" in {sample['copy_of']}"
        lines += _wrapped(f"{shown(str(sample['id']), 60)}: {shown(why, 120)}", "      ")
        if text := sample.get("text"):
            lines += _wrapped(f"“{shown(text, characters)}”", "        ")
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _figures_of(report: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The histograms of figures; one that there is of each language under all its names."""
    known = report.get("histograms", {})
    wanted = tuple(dict.fromkeys(names))
    return {
        name: each
        for name, each in known.items()
        if each["counts"] and (name in wanted or name.startswith(tuple(f"{one}_" for one in wanted)))
    }


def _spread(name: str, histogram: Mapping[str, Any]) -> str:
    """A histogram in one line."""
    counts = histogram["counts"]
    most = max(counts) or 1
    bars = "".join(_LEVELS[min(7, count * 8 // most)] if count else " " for count in counts)
    label = shown(name.replace("_", " "), 34)
    return f"  {label:<34} {_short(histogram['least']):>8} {bars} {_short(histogram['most'])}"


def _histogram(name: str, histogram: Mapping[str, Any], *, limit: Any = None) -> list[str]:
    """A histogram with a line a bar; the one in which the threshold lies is marked."""
    edges, counts = histogram["edges"], histogram["counts"]
    most = max(counts) or 1
    lines = [f"{shown(name.replace('_', ' '), 60)} of all documents:"]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        has_limit = isinstance(limit, int | float) and low <= limit < high
        mark = f" ← {_short(limit)}" if has_limit else ""
        bar = _bar(count / most, 36) or ("▏" if count else "")
        lines.append(f"  {_short(low):>9} – {_short(high):<9} {bar:<36} {count:>9,}{mark}".rstrip())
    return lines


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _source_lines(sources: Mapping[str, Mapping[str, Any]], samples: int) -> list[str]:
    lines = []
    for name, counts in list(sources.items())[:MOST_SOURCES]:
        train, heldout = counts["train"], counts["heldout"]
        lines += _wrapped(
            f"from {shown(name, 70)}: {train['documents']:,} kept, {heldout['documents']:,} held out, "
            f"{sum(counts['rejected'].values()):,} rejected",
            "  ",
        )
        if changed := counts.get("changed"):
            said = ", ".join(f"{what.replace('_', ' ')} {figure(n)}" for what, n in changed.items())
            lines += _wrapped(f"documents changed: {said}", "    ")
        if removed := counts.get("removed"):
            said = ", ".join(f"{what.replace('_', ' ')} {figure(n)}" for what, n in removed.items())
            lines += _wrapped(f"taken out: {said}", "    ")
        if foreign := counts.get("read_as_windows_1252"):
            lines.append(f"    not UTF-8, read as Windows-1252: {foreign:,}")
        for sample in counts["samples"][:samples]:
            lines += _wrapped(
                f"{shown(sample['id'], 60)}: “{shown(sample['text'], SAMPLE_CHARACTERS)}”", "    "
            )
    if len(sources) > MOST_SOURCES:
        lines.append(f"  and {len(sources) - MOST_SOURCES:,} more sources (--json has them all)")
    return lines
