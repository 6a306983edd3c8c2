"""Our two themes, dark and light: one background, one accent for what lives, amber to look, red for broken.

Colour never says anything alone: every state has a glyph and a word besides (words.py).
"""

from __future__ import annotations

import os

from textual.theme import Theme

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
    warning="#e6c384",
    error="#e46876",
    variables={
        "dim": "#8a8980",
        "faint": "#54546d",
        "block-cursor-text-style": "none",
        "footer-key-foreground": "#7fb4ca",
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
    warning="#8a5a00",
    error="#b8283c",
    variables={
        "dim": "#6b6a63",
        "faint": "#aaa79a",
        "block-cursor-text-style": "none",
        "footer-key-foreground": "#2d6a8e",
    },
)


def theme_of_terminal() -> str:
    """The theme that fits: what $WORKBENCH_THEME says, else light where $COLORFGBG says so."""
    wish = os.environ.get("WORKBENCH_THEME", "")
    if wish in ("dark", "light"):
        return f"workbench-{wish}"
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT.name if background in ("7", "15") else DARK.name
