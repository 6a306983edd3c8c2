"""Two hundred hostile texts in every place where text can come from, looked at as bytes on the line."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tui.hostile import HOSTILE, file_names
from tui.app import WorkbenchApp
from workbench.runs import Run
from workbench.safe_text import HARMFUL

MakeRun = Any
SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[P_^X][^\x1b]*\x1b\\|[ -/]+[0-~]|[0-~])"
)
MAY_STAND = re.compile(
    r"\x1b(?:\[[0-9;]*H|\[[0-9]+C|\[(?:0|[1-9]|2[0-9]|[345]9|[34]8;[25];[0-9;]+|;)*m"
    r"|\[\?(?:1049|25|1000|1003|1015|1006|1004|2004|2026|2048|7)[hl]"
    r"|\[\?(?:2026|2048)\$p|\[[<>=]?[0-9;]*u|\]22;default\x07|\[c|\[0?K|\[\d* q)\Z"
)
"""What the app itself writes: cursor, styles by palette, its modes, its own questions. No OSC, no DCS, no reset."""
HARM = re.compile(f"[{HARMFUL}]")


def misdeeds(output: bytes) -> list[str]:
    """Everything in a visit's bytes that the app would never say of its own accord."""
    text = output.decode("utf-8", errors="surrogateescape")
    told = [found[0] for found in SEQUENCE.finditer(text) if not MAY_STAND.match(found[0])]
    rest = SEQUENCE.sub("", text).replace("\r", "")
    return sorted({repr(one) for one in [*told, *HARM.findall(rest)]})


def test_there_are_two_hundred_of_them() -> None:
    assert len(set(HOSTILE)) >= 200 and len(file_names()) >= 120


def test_the_judge_sees_what_it_is_to_see() -> None:
    seen = [text for text in HOSTILE if misdeeds(text.encode("utf-8", errors="surrogatepass"))]
    assert len(seen) > 140, "controls, C1, bidi and the like are found out"
    assert misdeeds(b"\x1b[1;38;5;12mfine\x1b[0m\x1b[3;4H\x1b[?25h") == []


def hostile_run(make_run: MakeRun) -> Run:
    """A run that says every one of them wherever a run can say something."""
    run: Run = make_run(
        "target",
        state="failed",
        notes=tuple(HOSTILE),
        sample="".join(HOSTILE[:250]),
        error="".join(HOSTILE[60:200]),
    )
    with run.events_path.open("a") as file:
        for text in HOSTILE:
            for event in (
                {"kind": "stage_started", "stage": text},
                {"kind": "stage_progress", "stage": text, "done": 1, "total": 2, "unit": text},
                {
                    "kind": "metric",
                    "stage": "pretrain",
                    "step": 401,
                    "loss": text,
                    "val_loss": text,
                    text: text,
                },
                {"kind": "sample", "stage": "pretrain", "step": 402, "prompt": text, "text": text},
                {"kind": "warning", "text": text},
                {"kind": text, "text": text},
                {"kind": "stage_finished", "stage": text, "summary": {text: text}, "seconds": text},
            ):
                file.write(json.dumps({"time": 1.7e9, **event}) + "\n")
        file.write(json.dumps({"time": 1.7e9, "kind": "stage_started", "stage": "pretrain"}) + "\n")
        file.write(json.dumps({"time": 1.7e9, "kind": "error", "text": "".join(HOSTILE[:60])}) + "\n")
    log = "\n".join(HOSTILE).encode("utf-8", errors="surrogatepass")
    run.log_path.write_bytes(log[:30_000] + b"\xff\xfe\x80" + log[-20_000:] + b"\nTHE END OF IT\n")
    return run


def test_no_byte_of_data_is_obeyed(make_run: MakeRun, tmp_path: Path, open_terminal: Any) -> None:
    home = tmp_path
    run = hostile_run(make_run)
    for number, name in enumerate(file_names()):
        other = home / "runs" / f"{number}{name}"
        other.mkdir()
        (other / "plan.json").write_text("{}")
        (other / "status.json").write_text(
            json.dumps({"state": "stopped", "stage": name, "step": name, "loss": name})
        )
    (run.path / "plan.json").touch()  # the newest is under the cursor
    terminal = open_terminal(home)
    terminal.read_until(lambda output: b"quit" in output and b"target" in output)
    for _ in range(3):
        terminal.type(b"\x1b[6~")
    terminal.type(b"/\x9b\xff\x1b[200~\x1b]52;c;eA==\x07[/b\x1b[201~")
    terminal.read_until(lambda output: b"No run has" in output)
    seen = len(terminal.output)
    terminal.type(b"\x1b")
    terminal.read_until(lambda output: b"Next" in output[seen:])
    terminal.type(b"/target\r")
    terminal.read_until(lambda output: "“target”".encode() in output)
    terminal.type(b"\r")
    terminal.read_until(lambda output: b"smooth" in output)
    terminal.type(b"8")
    terminal.read_until(lambda output: b"THE END OF IT" in output)
    terminal.type(b"\x1b[H?")
    terminal.read_until(lambda output: b"Keys" in output)
    seen = len(terminal.output)
    terminal.type(b"qq")  # out of the help, twice
    terminal.read_until(lambda output: b"wrap" in output[seen:])
    terminal.type(b"q")
    assert terminal.exit_code() == 0
    assert misdeeds(terminal.output) == [] and b"Traceback" not in terminal.output


def test_no_byte_of_a_recipe_is_obeyed(
    tmp_path: Path, open_terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(file_names()[::3]):
        body = f"name = {json.dumps(HOSTILE[number])}\n[{json.dumps(name)}]\n{json.dumps(name)} = {json.dumps(name)}"
        (tmp_path / f"{number:02}{name}.toml").write_text(body)
    terminal = open_terminal(tmp_path / "home")
    terminal.read_until(lambda output: b"quit" in output)
    terminal.type(b"n")
    terminal.read_until(lambda output: b"parameters" in output)
    for _ in range(12):
        seen = len(terminal.output)
        terminal.type(b"\x1b[B")
        terminal.read_until(lambda output: len(output) > seen)  # noqa: B023 - called at once
    terminal.type(b"\x1b[F")
    terminal.read_until(lambda output: "✗".encode() in output)
    terminal.type(b"\x11")
    assert terminal.exit_code() == 0
    assert misdeeds(terminal.output) == [] and b"Traceback" not in terminal.output


def test_no_byte_of_a_reply_is_obeyed(tmp_path: Path, open_terminal: Any) -> None:
    terminal = open_terminal(
        tmp_path, command=[sys.executable, "-m", "tests.fixtures.hostile_chat", str(tmp_path)]
    )
    terminal.read_until(lambda output: b"again" in output and b"context 256" in output)
    terminal.type(b"hello\r")
    terminal.read_until(lambda output: b"THE END OF IT" in output)
    terminal.type(b"markdown\r")
    terminal.read_until(lambda output: b"FINISHED77" in output)
    seen = len(terminal.output)
    terminal.type(b"\x07")  # ctrl+g
    terminal.read_until(lambda output: b"markdown" in output[seen:])
    for _ in range(12):
        seen = len(terminal.output)
        terminal.type(b"\x1b[5~")
        terminal.read_until(lambda output: len(output) > seen)  # noqa: B023 - called at once
    terminal.type(b"\x11")
    assert terminal.exit_code() == 0
    assert misdeeds(terminal.output) == [] and b"Traceback" not in terminal.output


@pytest.mark.parametrize("text", ["[@click=app.exit]x", "[/b]", "\x1b]52;c;eA==\x07", "\udce9"])
async def test_notices_are_no_markup(tmp_path: Path, text: str) -> None:
    from tests.tui.test_screens import running, until
    from tui.messages import ActionFailed

    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        app.screen.post_message(ActionFailed(f"it failed: {text}"))
        await until(pilot, lambda: bool(app._notifications))
        assert "\x1b" not in next(iter(app._notifications)).message
