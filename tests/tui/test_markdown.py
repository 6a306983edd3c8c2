"""Markdown as rows: what becomes of its structure, and that nothing in it becomes more than text."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from tests.tui.hostile import HOSTILE
from tests.tui.test_transcript import page, seen
from tui.markdown import markdown_rows
from tui.widgets.transcript import Turn
from tui.wrapping import Pieces
from workbench.safe_text import HARMFUL, safe_text


def plain(rows: list[Pieces]) -> list[str]:
    return ["".join(text for text, _ in row).rstrip() for row in rows]


def styles(rows: list[Pieces]) -> dict[str, str]:
    return {text.strip(): style for row in rows for text, style in row if text.strip()}


def test_structure_becomes_indents() -> None:
    text = """# Title
A line
and another.

- one
  - deep and so long that it goes on
- two
10. ten

> said
> again

```python
def f():
\treturn 1
```
***
end"""
    assert plain(markdown_rows(text, 24)) == [
        "# Title", "", "A line", "and another.", "",
        "• one", "  • deep and so long", "    that it goes on", "• two", "",
        "10. ten", "",
        "▎ said", "▎ again", "",
        "  def f():", "      return 1", "",
        "─" * 20, "",
        "end",
    ]  # fmt: skip


def test_words_wear_styles() -> None:
    worn = styles(markdown_rows("## H **b**\n\na *i* **b *bi*** `c` ~~s~~", 80))
    assert worn["H"] == "bold $primary" and worn["i"] == "italic" and worn["bi"] == "bold italic"
    assert worn["c"] == "$secondary" and worn["s"] == "strike" and worn["a"] == ""


def test_a_link_says_where_it_leads() -> None:
    text = "[good](https://evil.example) <https://a.example> ![cat](x.png) [js](javascript:alert(1))"
    assert plain(markdown_rows(text, 200)) == [
        "good (https://evil.example) https://a.example [image: cat] (x.png) [js](javascript:alert(1))"
    ]


def test_a_table_stands_in_columns_where_they_fit() -> None:
    text = "| name | n |\n|--|--|\n| a | 100 |\n| 你好 | 2 |"
    assert plain(markdown_rows(text, 40)) == ["name  n", "a     100", "你好  2"]
    assert plain(markdown_rows(text, 10)) == ["name │ n", "a │ 100", "你好 │ 2"]


@pytest.mark.parametrize("text", ["-", "1.", ">", "> -", "```", "#", "|a|\n|-|", "[]()", "![]()", "- - -\n-"])
def test_empty_structure_is_shown_and_harmless(text: str) -> None:
    markdown_rows(text, 10)
    assert plain(markdown_rows("-\n- x", 10)) == ["•", "• x"]


def test_no_hostile_text_becomes_a_control_or_is_wider_than_the_page() -> None:
    harm = re.compile(f"[{HARMFUL}\n\t]")
    for text in [*HOSTILE, "".join(HOSTILE[:250])]:
        for form in ("{}", "- {}\n> {}", "`{}` *{}* [{}]({})", "```\n{}\n```", "|{}|\n|-|\n|{}|", "#{}"):
            clean = safe_text(form.replace("{}", text))[:4000]
            for row in plain(markdown_rows(clean, 40)):
                assert not harm.search(row), ascii(row)
                assert cell_len(row) <= 41, ascii(row)


@pytest.mark.parametrize("number", [0, 8, 13, 27, 0x7F, 0x9B, 0x202E, 0x2066, 0x200B, 0xD800, 0xE0041])
def test_what_the_parser_makes_of_an_entity_is_cleaned(number: int) -> None:
    for form in (
        f"a&#{number};b",
        f"`&#{number};`",
        f"[a&#{number};](b&#x{number:x};)",
        f"![&#{number};](x)",
    ):
        rows = "".join(plain(markdown_rows(form, 80)))
        assert not re.search(f"[{HARMFUL}]", rows), ascii(rows)


def test_markup_stays_text_and_html_too() -> None:
    text = "[@click=app.quit]x[/] [/b] [red]y <b>z</b> <script>"
    assert plain(markdown_rows(text, 80)) == [text]


async def test_a_conversation_is_formatted_once_it_is_finished_and_back_again() -> None:
    async with page() as (transcript, pilot):
        transcript.add(Turn("you", "say **it**"))
        reply = transcript.add(Turn("model", is_finished=False))
        transcript.format(True)
        transcript.grow(reply, "- **it**\n")
        await pilot.pause()
        assert _told(seen(transcript)) == [" you    say it", " model  - **it**"]
        transcript.grow(reply, "- is said")
        transcript.change(reply, footnote="4 tokens")
        await pilot.pause()
        assert _told(seen(transcript)) == [
            " you    say it",
            " model  • it",
            "        • is said",
            "        4 tokens",
        ]
        assert reply.text == "- **it**\n- is said", "what is copied is what the model wrote"
        transcript.format(False)
        await pilot.pause()
        assert _told(seen(transcript))[:2] == [" you    say **it**", " model  - **it**"]


async def test_a_very_long_text_stays_as_it_is() -> None:
    async with page() as (transcript, pilot):
        transcript.format(True)
        transcript.add(Turn("model", "[" * 20_000 + "\n**end**"))
        await pilot.pause()
        assert "        **end**" in seen(transcript)


def _told(rows: list[str]) -> list[str]:
    return [row for row in rows if row]
