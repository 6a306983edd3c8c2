"""Our themes: one background, one accent for what lives, amber to look, red for broken.

Colour never says anything alone: every state has a glyph and a word besides (words.py).
"""

from __future__ import annotations

import os
from dataclasses import replace

from textual.theme import BUILTIN_THEMES, Theme

RUNS_COMPARED = 6


def _run_colors(*colors: str) -> dict[str, str]:
    """One colour a run that is compared, as theme variables; each run has a glyph besides."""
    assert len(set(colors)) == RUNS_COMPARED
    return {f"run-{number}": color for number, color in enumerate(colors)}


# Okabe and Ito 2008, Color Universal Design: people with any kind of colour vision tell them apart. On a light
# background the same hues, darker; the blue on a dark one a little lighter, to be seen. Over ssh most terminals have
# 256 colours: these stay apart there too (a test).
ON_DARK = _run_colors("#0a80d0", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
ON_LIGHT = _run_colors("#0072b2", "#8a6100", "#007a59", "#a8527f", "#2a86b8", "#c75000")
OF_SIXTEEN = _run_colors(
    "ansi_cyan", "ansi_yellow", "ansi_green", "ansi_magenta", "ansi_bright_blue", "ansi_bright_red"
)

DARK = Theme(
    name="workbench-dark",
    dark=True,
    background="#16161d",
    surface="#16161d",
    panel="#1f1f28",
    foreground="#dcd7ba",
    primary="#7fb4ca",
    secondary="#938aa9",
    accent="#7fb4ca",
    success="#98bb6c",
    warning="#e0b050",
    error="#e46464",
    variables={
        "dim": "#8a8980",
        "faint": "#54546d",
        "block-cursor-text-style": "none",
        "footer-key-foreground": "#7fb4ca",
        **ON_DARK,
    },
)

LIGHT = Theme(
    name="workbench-light",
    dark=False,
    background="#f6f4ec",
    surface="#f6f4ec",
    panel="#e9e6da",
    foreground="#2a2a37",
    primary="#2d6a8e",
    secondary="#624c83",
    accent="#2d6a8e",
    success="#4c7a1f",
    warning="#a85f00",
    error="#b01822",
    variables={
        "dim": "#6b6a63",
        "faint": "#aaa79a",
        "block-cursor-text-style": "none",
        "footer-key-foreground": "#2d6a8e",
        **ON_LIGHT,
    },
)


# Blue, yellow and vermilion are told apart by all common kinds of colour vision (Okabe and Ito 2008,
# Color Universal Design); green and red are not.
COLOR_BLIND = {
    "dark": {"success": "#56b4e9", "warning": "#f0e442", "error": "#e8641c"},
    "light": {"success": "#0072b2", "warning": "#6e6100", "error": "#c75000"},
}


def _without_red_and_green(theme: Theme, colors: dict[str, str]) -> Theme:
    return replace(theme, name=f"{theme.name}-colorblind", **colors)  # type: ignore[arg-type]


ANSI = Theme(
    name="workbench-16",
    dark=True,
    ansi=True,
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    foreground="ansi_default",
    primary="ansi_cyan",
    secondary="ansi_magenta",
    accent="ansi_cyan",
    success="ansi_green",
    warning="ansi_yellow",
    error="ansi_red",
    variables={
        **BUILTIN_THEMES["ansi-dark"].variables,
        "dim": "ansi_default",
        "faint": "ansi_bright_black",
        "block-cursor-foreground": "ansi_default",
        "block-cursor-background": "ansi_default",
        "block-cursor-text-style": "reverse",
        "footer-key-foreground": "ansi_cyan",
        **OF_SIXTEEN,
    },
)
"""The sixteen colours that a person chose for the terminal, and its own background."""

THEMES = {
    "dark": DARK,
    "light": LIGHT,
    "dark-colorblind": _without_red_and_green(DARK, COLOR_BLIND["dark"]),
    "light-colorblind": _without_red_and_green(LIGHT, COLOR_BLIND["light"]),
    "16": ANSI,
}
"""By the name that a person writes."""

FEW_COLORS = ("linux", "xterm", "vt100", "vt220", "screen", "tmux", "rxvt", "ansi")
"""Values of $TERM that promise no more than sixteen."""


def theme_of_terminal(remembered: str = "") -> str:
    """The theme that fits: what $WORKBENCH_THEME says, what was chosen last, else what the terminal tells of itself."""
    wish = os.environ.get("WORKBENCH_THEME", "")
    for chosen in (wish, remembered):
        if chosen in THEMES:
            return THEMES[chosen].name
    if os.environ.get("TERM") in FEW_COLORS and not os.environ.get("COLORTERM"):
        return ANSI.name
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT.name if background in ("7", "15") else DARK.name


def plain_name(theme: str) -> str:
    """The name that a person writes; empty for a theme that is not ours."""
    return next((name for name, ours in THEMES.items() if ours.name == theme), "")
