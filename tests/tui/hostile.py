"""Two hundred texts that want something of a terminal, of markup, or of whoever reads them."""

# ruff: noqa: E501 - tables of data

from __future__ import annotations

_CONTROLS = [
    "\x1b]52;c;cHduZWQ=\x07", "\x1b]52;p;cHduZWQ=\x1b\\", "\x1b]0;pwned\x07", "\x1b]2;pwned\x1b\\", "\x1b]8;;http://x.y\x07l\x1b]8;;\x07",
    "\x1b]4;1;#ff0000\x07", "\x1b]10;?\x07", "\x1b]11;#000000\x07", "\x1b]7;file:///etc\x07", "\x1b]9;note\x07", "\x1b]777;notify;a;b\x07",
    "\x1b]1337;File=inline=1:aGk=\x07", "\x1b[5;31;8m", "\x1b[2J", "\x1b[3J", "\x1b[H\x1b[J", "\x1b[?1049l", "\x1b[?1049h",
    "\x1b[?25l", "\x1b[?1000;77h", "\x1b[?2004;77h", "\x1b[6;77n", "\x1b[77c", "\x1b[>77c", "\x1b[=77c", "\x1b[77t", "\x1b[21;77t",
    "\x1b[77;77r", "\x1b[4;77h", "\x1b[77S", "\x1b[77T", "\x1b[77L", "\x1b[77M", "\x1b[77P", "\x1b[77X", "\x1b[77@", "\x1b[77b",
    "\x1bc", "\x1b7", "\x1b8", "\x1bD", "\x1bE", "\x1bM", "\x1bZ", "\x1b#8", "\x1b(0", "\x1b)B", "\x1b=", "\x1b>", "\x1bN", "\x1bO",
    "\x1bP$q\"p\x1b\\", "\x1bP+q544e\x1b\\", "\x1bPq#0;2;0;0;0~\x1b\\", "\x1b_Ga=T,f=24;AAAA\x1b\\", "\x1b^pm\x1b\\", "\x1bXsos\x1b\\",
    "\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\", "\x1b\x1b\x1b[m", "\x1b", "\x1b[", "\x1b]", "\x1bP", "\x1b[77;", "\x1b[<0;77;77M",
    *(chr(code) for code in (*range(0, 9), *range(0x0B, 0x20), 0x7F)),
    *(chr(code) for code in range(0x80, 0xA0)),
    "\x9b31m", "\x9d0;pwned\x9c", "\x90q\x9c", "\x9e\x9c", "\x9f\x9c", "\x8d", "\x85",
]  # fmt: skip
_INVISIBLE = [
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\u2060\u2064\ufeff\u2028\u2029",
    "\u180e", "\ufff9a\ufffab\ufffb", "\U000e0041\U000e0042", "\udce9", "\ud83d", "\ude00\ud83d",
    "e" + "\u0301" * 300, "\u202e" * 50, "\u2066" * 200, "a\u0489" * 40,
]  # fmt: skip
_MARKUP = [
    "[b", "[/b]", "[/]", "[b]x[/i]", "[link=file:///etc/passwd]x[/link]", "[@click=app.quit]x[/]", "[@click=app.exit('x')]y[/]", "[@click=screen.dismiss]z",
    "[red on blue]x", "[$error]x[/]", "[not bold]", "[[x]", "]x[", "\\[b]", "[b]x[/b", "[#ff0000]", "[reverse]x", "[1]", "[]", "[ ]", "x[i]=y[/2]",
    "{json: [1, {}]}", "[bold red]A[/bold red]", ":smile:", "$name", "%s %d {} {0.__class__}", "<script>alert(1)</script>", "&lt;b&gt;", "`rm -rf`", "$(id)",
    "../../etc/passwd", "--help", "-rf", "~root", "'; drop table runs; --", "\"quoted\"", "null", "NaN", "\t\t\t", "    ", "\n\n\n", "a\r\nb\rc", "\r" + "over" * 3,
]  # fmt: skip
_LONG = [
    "x" * 100_000, "word " * 5_000, "\t" * 3_000, "\n" * 3_000, "🦊" * 2_000, "한" * 2_000, "\u0e33" * 500,
    "👩‍👩‍👧‍👦" * 300, "ﷺ" * 200, "𒐫" * 200,
]  # fmt: skip

HOSTILE = [*_CONTROLS, *_INVISIBLE, *_MARKUP, *_LONG]


def file_names() -> list[str]:
    """Those that can be the name of a file."""
    return [
        name
        for text in [*_CONTROLS, *_INVISIBLE, *_MARKUP]
        if (name := text.replace("/", "").replace("\0", "").strip("."))
        and max(name) < "\ud800"
        and len(name.encode()) < 180
    ]
