"""The version of Workbench, in the one place that everyone may import. pyproject.toml reads it from here."""

from __future__ import annotations

VERSION = "0.1.0"
