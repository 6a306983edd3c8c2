"""What is said of a folder: a tokenizer, token shards, a checkpoint, a scorecard. Reads, computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.cli.inspected import Inspected, fact_lines, shown
from workbench.cli.output import error_of, figure
from workbench.facts_file import read_facts
from workbench.files import human_bytes, human_count

LONGEST_TOKENS = 8


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
        **({"report": read_facts(folder / "report.json")} if (folder / "report.json").is_file() else {}),
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
    index = read_facts(folder / "index.json")
    report = read_facts(folder / "report.json") if (folder / "report.json").is_file() else {}
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
    training = read_facts(state_file) if state_file.is_file() else None
    architecture = read_facts(folder / "config.json").get("architectures") or ["?"]
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
    card = read_facts(folder / "scorecard.json")
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
    lines += [f"  {shown(task, 32)}: {_seen(facts)}" for task, facts in card.get("contamination", {}).items()]
    return Inspected(
        {"kind": "scorecard", "folder": str(folder), "scorecard": card}, [f"scorecard  {folder}", *lines]
    )


def _seen(facts: dict[str, Any]) -> str:
    """Which items of a task the corpus knew."""
    said = f"{facts['seen']:,} of {facts['items']:,} items stand in training text"
    if facts["dropped"]:
        said += f", {facts['dropped']:,} did and were dropped"
    return said + (f", {facts['too_short']:,} too short to tell" if facts["too_short"] else "")
