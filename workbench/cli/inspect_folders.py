"""What is said of a folder: a corpus, a tokenizer, token shards, a checkpoint, a scorecard. Reads, computes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.cli.inspected import Inspected, fact_lines, shown
from workbench.cli.output import error_of, figure
from workbench.errors import BadInput
from workbench.files import human_bytes, human_count

SAMPLE_CHARACTERS = 100
LONGEST_TOKENS = 8
MOST_SOURCES = 12
# What the figure beside a reason means.
FIGURES = {
    "too_short": "{} characters",
    "too_long": "{} characters",
    "duplicate": "the same as {}",
    "near_copy_of_training": "{:.0%} of its 8-word runs are in training text",
    "heldout_surplus": "the held-out part holds at most {} bytes",
}


def corpus(folder: Path, samples: int) -> Inspected:
    """Kept and rejected by reason with counts, and `samples` rejected documents per reason with what decided."""
    report = _read(folder / "report.json")
    rejected = _rejected_samples(folder, samples)
    facts = {"kind": "corpus", "folder": str(folder), **report, "rejected_samples": rejected}
    lost = sum(report["rejected"].values())
    lines = [f"corpus  {folder}"]
    lines += fact_lines(
        {
            "read": f"{report['read']:,} records from {len(report['sources'])} source(s)",
            "kept": f"{report['documents']:,} documents, {human_bytes(report['bytes'])}",
            "held out": f"{report['heldout_documents']:,} documents, {human_bytes(report['heldout_bytes'])}",
            "rejected": f"{lost:,}" if lost else "none",
        }
    )
    for reason, count in sorted(report["rejected"].items(), key=lambda item: -item[1]):
        lines.append(f"    {reason.replace('_', ' '):<24} {count:>9,}")
        for sample in rejected.get(reason, []):
            decided = _decided(reason, sample.get("figure"))
            lines.append(f"        {shown(str(sample['id']), 60)}: {shown(decided, 120)}")
            if text := sample.get("text"):
                lines.append(f"          “{shown(text, SAMPLE_CHARACTERS)}”")
    lines += _source_lines(report["sources"], samples)
    return Inspected(facts, lines)


def _source_lines(sources: Mapping[str, Mapping[str, Any]], samples: int) -> list[str]:
    lines = []
    for name, counts in list(sources.items())[:MOST_SOURCES]:
        train, heldout = counts["train"], counts["heldout"]
        lines.append(
            f"  from {shown(name, 70)}: {train['documents']:,} kept, {heldout['documents']:,} held out, "
            f"{sum(counts['rejected'].values()):,} rejected"
        )
        if changed := counts.get("changed"):
            lines.append(
                "    changed: " + ", ".join(f"{what.replace('_', ' ')} {n:,}" for what, n in changed.items())
            )
        if foreign := counts.get("read_as_windows_1252"):
            lines.append(f"    not UTF-8, read as Windows-1252: {foreign:,}")
        for sample in counts["samples"][:samples]:
            lines.append(f"    {shown(sample['id'], 60)}: “{shown(sample['text'], SAMPLE_CHARACTERS)}”")
    if len(sources) > MOST_SOURCES:
        lines.append(f"  and {len(sources) - MOST_SOURCES:,} more sources (--json has them all)")
    return lines


def _rejected_samples(folder: Path, samples: int) -> dict[str, list[dict[str, Any]]]:
    from workbench.data.jsonl_zst import read_jsonl_zst

    found: dict[str, list[dict[str, Any]]] = {}
    if samples:
        for record in read_jsonl_zst(folder / "rejected.jsonl.zst"):
            of_reason = found.setdefault(str(record["reason"]), [])
            if len(of_reason) < samples:
                of_reason.append(record)
    return found


def _decided(reason: str, value: Any) -> str:
    if reason in FIGURES and isinstance(value, int | float | str):
        return FIGURES[reason].format(value)
    return str(value or "no more is known")


def tokenizer(folder: Path) -> Inspected:
    """Size, special tokens with their ids, the longest tokens, and the figures of its training if it was here."""
    from workbench.tokenizer import Tokenizer

    loaded = Tokenizer.load(folder)
    ordinary = [loaded.token_bytes(token) for token in range(loaded.vocab_size)]
    longest = sorted(ordinary, key=lambda token: (-len(token), token))[:LONGEST_TOKENS]
    facts: dict[str, Any] = {
        "kind": "tokenizer",
        "folder": str(folder),
        "vocab_size": loaded.vocab_size,
        "special_tokens": loaded.special_tokens,
        "longest_tokens": [token.decode(errors="backslashreplace") for token in longest],
        **({"report": _read(folder / "report.json")} if (folder / "report.json").is_file() else {}),
    }
    told = {
        "vocabulary": f"{loaded.vocab_size:,} tokens",
        "special": ", ".join(f"{token} {number}" for token, number in facts["special_tokens"].items()),
        "longest": " ".join(repr(shown(token, 60)) for token in facts["longest_tokens"]),
    }
    if "bytes_per_token" in (report := facts.get("report", {})):
        told["bytes per token"] = f"{figure(report['bytes_per_token'])} on held-out documents"
    return Inspected(facts, [f"tokenizer  {folder}", *fact_lines(told)])


def tokens(folder: Path) -> Inspected:
    """How many tokens, documents and shards."""
    index = _read(folder / "index.json")
    report = _read(folder / "report.json") if (folder / "report.json").is_file() else {}
    facts = {"kind": "tokens", "folder": str(folder), **index, **report}
    told = {
        "tokens": f"{facts.get('num_tokens', 0):,}",
        "documents": f"{facts.get('num_documents', 0):,}",
        "shards": f"{facts.get('num_shards', 0):,} of {facts.get('dtype', '?')}",
    }
    if "bytes_per_token" in facts:
        told["bytes per token"] = figure(facts["bytes_per_token"])
    return Inspected(facts, [f"tokens  {folder}", *fact_lines(told)])


def checkpoint(folder: Path) -> Inspected:
    """The model's numbers, its parameters and size, and where its training stood."""
    from workbench.hf_config import read_config

    config = read_config(folder)
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    state_file = folder / "training" / "state.json"
    training = _read(state_file) if state_file.is_file() else None
    architecture = _read(folder / "config.json").get("architectures") or ["?"]
    facts: dict[str, Any] = {
        "kind": "checkpoint",
        "folder": str(folder),
        "architecture": str(architecture[0]),
        "parameters": config.model.num_parameters,
        "bytes": weights,
        "config": config.model.to_dict(),
        "ignored_keys": list(config.ignored),
        "training": training,
    }
    model = config.model
    shape = (
        f"{model.num_hidden_layers} layers of {model.hidden_size}, {model.num_attention_heads} heads of "
        f"{model.head_dim} ({model.num_key_value_heads} key/value), feed-forward {model.intermediate_size}"
    )
    told = {
        "model": f"{shown(facts['architecture'], 60)}, {human_count(model.num_parameters)} parameters, "
        f"{human_bytes(weights)}",
        "shape": shape,
        "reads": f"{model.max_position_embeddings:,} tokens of a vocabulary of {model.vocab_size:,}",
    }
    if config.ignored:
        told["not read"] = shown(", ".join(config.ignored), 200)
    if training is not None:
        told |= _training(training)
    return Inspected(facts, [f"checkpoint  {folder}", *fact_lines(told)])


def _training(state: Mapping[str, Any]) -> dict[str, str]:
    told = {
        "trained": f"{figure(state.get('step'))} steps, {human_count(state.get('tokens') or 0)} tokens, "
        f"seed {state.get('seed')}"
    }
    if state.get("best_metric") is not None:
        told["best"] = f"{figure(state['best_metric'])} held out, at step {figure(state.get('best_step'))}"
    environment = state.get("environment") or {}
    if environment:
        told["on"] = shown(
            f"{environment.get('device')}, {environment.get('threads')} threads, {environment.get('dtype')}, "
            f"torch {environment.get('torch')}, {environment.get('optimizer')}",
            110,
        )
    return told


def scorecard(folder: Path) -> Inspected:
    """Every score of every model, and those of what is no model."""
    card = _read(folder / "scorecard.json")
    cards = {who: each["tasks"] for who, each in card.get("models", {}).items()}
    rows = [
        (shown(who, 24), shown(task, 32), metric, figure(facts["value"]), error_of(facts["stderr"]))
        for who, tasks in {**cards, "without a model": card.get("baselines", {})}.items()
        for task, metrics in tasks.items()
        for metric, facts in metrics.items()
    ]
    who, task, metric, value = (max((len(row[column]) for row in rows), default=0) for column in range(4))
    lines = [
        f"  {row[0]:{who}}  {row[1]:{task}}  {row[2]:{metric}}  {row[3]:>{value}} {row[4]}".rstrip()
        for row in rows
    ]
    return Inspected(
        {"kind": "scorecard", "folder": str(folder), "scorecard": card}, [f"scorecard  {folder}", *lines]
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadInput("is missing", file=path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"cannot be read ({error})", file=path) from None
    if not isinstance(value, dict):
        raise BadInput("is not a JSON object", file=path)
    return value
