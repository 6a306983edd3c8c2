"""What the app remembers, how it copies, and which theme it wears: no terminal needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tui import clipboard
from tui.clipboard import copied_file, way_to_copy
from tui.state import State
from tui.theme import THEMES, theme_of_terminal


def test_what_was_put_is_there_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "home" / ".screen.json"
    state = State(path)
    state.put("order", "name")
    state.put("smoothing", 2)
    again = State(path)
    assert (again.get("order", ""), again.get("smoothing", 0), again.problem) == ("name", 2, "")
    assert again.get("order", 7) == 7, "a value of another type is not used"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_window_that_only_looks_remembers_what_it_wore_and_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".screen.json"
    State(path).put("theme", "light")
    before = path.read_bytes()
    looks = State(path, writes=False)
    assert looks.get("theme", "") == "light"
    looks.put("theme", "dark")
    assert looks.get("theme", "") == "dark" and path.read_bytes() == before


@pytest.mark.parametrize(
    "found",
    ["", "{", "[]", '{"version": 2, "values": {}}', '{"version": 1, "values": 3}', "\xff", "[" * 100_000],
)
def test_a_broken_state_is_no_reason_to_stop(tmp_path: Path, found: str) -> None:
    path = tmp_path / "screen.json"
    path.write_text(found, encoding="latin-1")
    state = State(path)
    assert str(path) in state.problem and state.get("order", "newest") == "newest"
    state.put("order", "name")
    assert State(path).get("order", "") == "name" and State(path).problem == ""


def test_values_that_are_none_of_ours_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "screen.json"
    path.write_text(json.dumps({"version": 1, "values": {"order": "name", "odd": {"a": 1}, "none": None}}))
    assert State(path).get("order", "") == "name" and State(path).get("odd", "") == ""


def test_a_home_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = State(tmp_path / "file" / "screen.json")
    state.put("order", "name")
    assert state.get("order", "") == "name"


@pytest.mark.parametrize(
    ("environment", "size", "way"),
    [
        ({"TERM": "xterm-256color"}, 100, "osc52"),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"}, 100, "tmux"),
        ({"TERM": "linux"}, 100, "file"),
        ({"TERM": "screen-256color"}, 100, "file"),
        ({"TERM": "xterm-256color"}, 200_000, "file"),
        ({"TERM": "linux", "WORKBENCH_CLIPBOARD": "osc52"}, 100, "osc52"),
        ({"TERM": "xterm", "TMUX": "x", "WORKBENCH_CLIPBOARD": "file"}, 100, "file"),
    ],
)
def test_how_a_text_gets_out(environment: dict[str, str], size: int, way: str) -> None:
    assert way_to_copy(environment, size=size) == way


class FakeApp:
    def __init__(self) -> None:
        self.copied: list[str] = []
        self.said: list[str] = []

    def copy_to_clipboard(self, text: str) -> None:
        self.copied.append(text)

    def notify(self, text: str, **_: Any) -> None:
        self.said.append(text)


def test_copied_text_cannot_act_where_it_is_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    app: Any = FakeApp()
    clipboard.copy(app, "workbench follow 'a\x1b[201~\udce9b'\n")
    assert app.copied == ["workbench follow 'a[201~\ufffdb'"] and "workbench follow" in app.said[0]


def test_where_there_is_no_clipboard_the_text_lies_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TERM": "linux", "XDG_STATE_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TMUX", raising=False)
    app: Any = FakeApp()
    clipboard.copy(app, "workbench runs")
    path = copied_file({"XDG_STATE_HOME": str(tmp_path)})
    assert path.read_text() == "workbench runs\n" and app.copied == [] and str(path) in app.said[0]


@pytest.mark.parametrize(
    ("environment", "remembered", "theme"),
    [
        ({"TERM": "xterm-256color"}, "", "dark"),
        ({"TERM": "xterm-256color", "COLORFGBG": "0;15"}, "", "light"),
        ({"TERM": "xterm-256color", "COLORFGBG": "0;15"}, "dark-colorblind", "dark-colorblind"),
        ({"TERM": "linux"}, "", "16"),
        ({"TERM": "linux", "COLORTERM": "truecolor"}, "", "dark"),
        ({"TERM": "linux", "WORKBENCH_THEME": "light"}, "dark", "light"),
        ({"TERM": "xterm-256color", "WORKBENCH_THEME": "pink"}, "gone", "dark"),
    ],
)
def test_the_theme_that_fits(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], remembered: str, theme: str
) -> None:
    for name in ("TERM", "COLORTERM", "COLORFGBG", "WORKBENCH_THEME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert theme_of_terminal(remembered) == THEMES[theme].name
