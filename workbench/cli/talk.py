"""Verbs that talk: generate, chat, tokenize."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from workbench.cli.output import Home, Json, Reference, print_json, print_table, result, say
from workbench.errors import BadInput
from workbench.safe_text import safe_text

LAYOUT = str.maketrans({" ": "␣", "\n": "\\n", "\t": "\\t"})


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (chat, generate, tokenize):
        app.command()(verb)


def generate(
    reference: Reference,
    prompt: Annotated[str, typer.Option(help="The text to continue; with --chat, the message to answer.")],
    max_new_tokens: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Stop after so many tokens.")
    ] = 100,
    temperature: Annotated[float, typer.Option(help="0 is greedy; below 1 safer, above 1 wilder.")] = 0.8,
    top_k: Annotated[int, typer.Option(help="Draw from the k likeliest tokens; 0: all.")] = 0,
    top_p: Annotated[
        float, typer.Option(help="Draw from the likeliest tokens that reach this probability.")
    ] = 1.0,
    min_p: Annotated[
        float, typer.Option(help="Draw from tokens at least this share as likely as the likeliest.")
    ] = 0.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1: avoid what was said already.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same text.")] = 0,
    stop: Annotated[list[str] | None, typer.Option(help="End at this text. Repeatable.")] = None,
    chat_format: Annotated[
        bool, typer.Option("--chat", help="Put the chat format around the prompt.")
    ] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Continue a text with a model.

    Draws at temperature 0.8 unless told otherwise; `workbench chat` is greedy.

    Example: workbench generate quickstart/pretrain --prompt "os.path.join(" --temperature 0
    """
    import time

    import workbench
    from workbench.model import Sampling, stream_text
    from workbench.model.generate import generate as generate_ids
    from workbench.safe_text import SafeStream
    from workbench.tokenizer import render, stop_ids

    sampling = Sampling(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
    )
    model, tokenizer = workbench.load(reference, home=home)
    prompt = prompt.encode(errors="replace").decode()
    if chat_format:
        from workbench.data.conversations import Message

        ids = render(tokenizer, [Message("user", prompt)], add_generation_prompt=True).ids
    else:
        ids = [tokenizer.bos_id, *tokenizer.encode(prompt)]
    generation = generate_ids(
        model, ids, max_new_tokens=max_new_tokens, sampling=sampling, stop_ids=stop_ids(tokenizer)
    )
    started_at = time.perf_counter()
    first: float | None = None
    pieces = []
    guard = SafeStream()
    for piece in stream_text(generation, tokenizer, stop_texts=stop or []):
        first = time.perf_counter() - started_at if first is None else first
        pieces.append(piece)
        if not json:
            sys.stdout.write(guard.feed(piece))
            sys.stdout.flush()
    seconds = time.perf_counter() - started_at
    if json:
        print_json(
            {
                "text": "".join(pieces),
                "prompt_tokens": generation.prompt_tokens,
                "new_tokens": len(generation.reply.ids),
                "tokens_per_second": round(len(generation.reply.ids) / seconds, 2) if seconds > 0 else None,
                "seconds_to_first_token": round(first, 4) if first is not None else None,
                "stopped_by": generation.reply.stopped_by,
            }
        )
    else:
        print(guard.close())


def chat(
    reference: Reference,
    system: Annotated[str | None, typer.Option(help="A system prompt.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Talk to a model.

    Slash commands: /help /system /set /reset /save /load /regenerate /compare /exit. Ctrl-C stops a reply,
    Ctrl-D leaves. Replies are greedy, the same every time, until you `/set temperature 0.8`.

    With --json it speaks JSON lines over stdin and stdout: {"type": "user", "text": "Hi"}. The types are
    user, system (text), set (key, value), load (messages), regenerate, stop, reset and messages.

    Example: workbench chat quickstart
    """
    if json:
        from workbench.cli.chat_server import open_session, serve_stdio
        from workbench.runs import find_home

        serve_stdio(open_session(reference, home=find_home(home), system=system))
    else:
        from workbench.cli.repl import talk

        talk(reference, home=home, system=system)


def tokenize(
    reference: Reference,
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="The text; stdin when left out.")
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Show how a tokenizer cuts a text.

    Tokens with their ids (spaces shown as ␣) and bytes per token.

    Example: workbench tokenize quickstart "shutil.copytree(src, dst)"
    """
    from workbench.cli.tokenizers import find_tokenizer

    tokenizer = find_tokenizer(reference, home=home)
    if text is None:
        if sys.stdin.isatty():
            raise BadInput("there is no text", fix="give it as an argument or on stdin")
        text = sys.stdin.read()
    text = text.encode(errors="replace").decode()
    ids = tokenizer.encode(text)
    tokens = [tokenizer.token_bytes(token).decode("utf-8", errors="backslashreplace") for token in ids]
    per_token = round(len(text.encode()) / len(ids), 4) if ids else None
    if json:
        print_json({"ids": ids, "tokens": tokens, "bytes_per_token": per_token})
        return
    shown = [safe_text(token, visible=True).translate(LAYOUT) for token in tokens]
    rows = [(str(token), piece) for token, piece in zip(ids, shown, strict=True)]
    print_table(("id", "token"), rows, right=(0,))
    result(f"{len(ids)} tokens, {per_token} bytes per token")
    if not ids:
        say("the text is empty")
