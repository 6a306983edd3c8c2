from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.corpus.extract.html_page import read_page
from workbench.corpus.extract.settings import HtmlLimits
from workbench.data.strict_json import RecordError

LIMITS = HtmlLimits()
SENTENCES = [
    "The river rose slowly that spring, and nobody in the village took much notice of it.",
    "By the time the bridge was closed, half of the market had already moved to the hill.",
    "It was, the mayor said later, the calmest disaster that the county had ever seen.",
    "Children sailed their paper boats where the parked cars had stood the day before.",
]
ARTICLE = "".join(f"<p>{sentence} {sentence[::-1]}</p>" for sentence in SENTENCES)
MENU = "<ul>" + "".join(f"<li><a href=/{i}>Section number {i}</a></li>" for i in range(30)) + "</ul>"
PAGE = f"""<!DOCTYPE html><html lang=en-GB><head><title> The  river | Daily </title>
<meta property="og:title" content="The river &amp; us"><link rel=canonical href="https://example.org/river">
<style>p {{ color: red }}</style><script>var x = "<p>no text of ours</p>";</script></head><body>
<header><nav>{MENU}</nav></header>
<div class="cookie-banner"><p>We use cookies to make this page as slow as it can be, and we are sorry.</p></div>
<div id=wrap><div class=story><h1>The river</h1>{ARTICLE}<h2>Afterwards</h2><p>{SENTENCES[0]}</p>
<table><tr><td>{SENTENCES[3]}</td><td>1<br>2</td></tr></table>
<ul><li>{SENTENCES[1]}</li><li>{SENTENCES[2]}</li></ul><pre>  kept   as
    it is</pre></div>
<div class="comments-area"><h3>Comments</h3><p>First! I have never read anything as wet as this, and I read a lot.</p>
</div></div><footer><p>Copyright by nobody, all rights reserved in every country that there is.</p></footer></body>"""


def text_of(html: str, **options: object) -> str:
    return read_page(html.encode(), limits=LIMITS, **options).text  # type: ignore[arg-type]


def test_the_article_comes_out_and_what_is_beside_it_does_not() -> None:
    text = text_of(PAGE)
    for sentence in SENTENCES:
        assert sentence in text
    assert "Afterwards" in text
    for noise in ("cookies", "Section number", "First!", "Copyright", "no text of ours", "color"):
        assert noise not in text


def test_paragraphs_lists_rows_and_code_keep_their_form() -> None:
    text = text_of(PAGE)
    assert f"\n\n- {SENTENCES[1]}\n- {SENTENCES[2]}\n\n" in text
    assert f"{SENTENCES[3]} | 1\n2" in text
    assert "  kept   as\n    it is" in text
    assert text.startswith(SENTENCES[0])


def test_a_page_says_its_title_language_and_address() -> None:
    page = read_page(PAGE.encode(), limits=LIMITS)
    assert (page.title, page.language, page.url) == ("The river & us", "en", "https://example.org/river")
    plain = read_page(
        b"<title>a\n b</title><meta http-equiv=content-language content='de, en'>x", limits=LIMITS
    )
    assert (plain.title, plain.language, plain.url) == ("a b", "de", "")
    hostile = read_page(b"<html lang='\x1b]0;'><link rel=canonical href='javascript:x'>x", limits=LIMITS)
    assert (hostile.title, hostile.language, hostile.url) == ("", "", "")


def test_all_text_has_also_what_is_beside_it_but_nothing_hidden() -> None:
    text = text_of(PAGE.replace("<h1>", "<p style='display: none'>secret</p><h1>"), text="all")
    for part in ("cookies", "Section number 3", "First!", "Copyright", *SENTENCES):
        assert part in text
    assert "secret" not in text
    assert "no text of ours" not in text


def test_a_class_that_says_the_whole_page_is_beside_it_is_not_believed() -> None:
    assert SENTENCES[2] in text_of(f"<body class=sidebar><div class='menu widget'>{ARTICLE}</div>")


def test_pages_of_few_words_are_read_too() -> None:
    assert text_of("<p>Just this.") == "Just this."
    assert text_of("no tags at all") == "no tags at all"
    assert text_of("a&nbsp;&lt;b&gt; &amp;amp; &#x1F600;") == "a <b> &amp; 😀"


@pytest.mark.parametrize("html", ["", "<html>", "<script>x</script>", "<!-- a -->", "<img src=x>", " \n\t"])
def test_a_page_without_text_says_so(html: str) -> None:
    with pytest.raises(RecordError, match="no_text"):
        text_of(html)


@pytest.mark.parametrize(
    "broken",
    [
        f"<div><p>unclosed <b>bold <i>both{ARTICLE}",
        f"</div></p></table>{ARTICLE}",
        f"<table><p>{ARTICLE}<tr><td>cell",
        f"<p class='unclosed quote>{ARTICLE}'>{ARTICLE}",
        f"<div\0><p\0>{ARTICLE}\0",
        f"<svg><p>{ARTICLE}",
        f"<a href=1><a href=2>{ARTICLE}",
    ],
)
def test_broken_markup_gives_its_text(broken: str) -> None:
    assert SENTENCES[3] in text_of(broken)
    assert "\0" not in text_of(broken)


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ("<div>" * 100_000 + ARTICLE, "nested_too_deep"),
        ("<b>" * 100_000 + ARTICLE, "nested_too_deep"),
        ("".join(f"<font color={i}>" for i in range(50_000)) + ARTICLE, "nested_too_deep"),
        ("".join(f"<font color={i}>" for i in range(1500)) + "<p>x" * 20_000, "nested_too_deep"),
        ("<table><tr><td>" * 30_000 + ARTICLE, "nested_too_deep"),
        ("x" * 10_000_001, "page_too_large"),
    ],
)
def test_pages_beyond_the_limits_are_refused_in_bounded_time(html: str, reason: str) -> None:
    started = time.process_time()
    with pytest.raises(RecordError, match=reason):
        text_of(html)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "html",
    [
        "word " * 1_900_000,
        "<p>" * 300_000 + ARTICLE,
        "<" * 2_000_000 + ARTICLE,
        "<div " + "a=b " * 300_000 + ">" + ARTICLE,
        "<p class='" + "menu " * 1_000_000 + "'>" + ARTICLE,
        "<a href=x>" * 100_000 + ARTICLE,
        "<select><option>" * 50_000 + ARTICLE,
        ("<div>" * 1900 + ARTICLE + "</div>" * 1900) * 20,
        "&" * 2_000_000,
    ],
    ids=range(9),
)
def test_crafted_pages_take_linear_time(html: str) -> None:
    started = time.process_time()
    assert text_of(html)
    assert time.process_time() - started < 10


@given(st.text(max_size=300), st.text(st.sampled_from("<>/abip=\"' &;!-"), max_size=200))
def test_no_markup_is_too_odd(text: str, markup: str) -> None:
    for html in (text, markup, f"<p>{text}{markup}</p>{ARTICLE}{markup}"):
        try:
            found = read_page(html.encode("utf-8", "surrogatepass"), limits=LIMITS)
        except RecordError as bad:
            assert bad.reason == "no_text"
        else:
            found.text.encode()


def test_a_long_chapter_is_not_the_whole_text() -> None:
    def sentences(word: str, count: int) -> str:
        return "".join(
            f"<p>The {word} of this chapter is told in sentence {n}, as it should be.</p>"
            for n in range(count)
        )

    page = (
        "<html><body><div class='sidebar'><a href='/'>Contents of all</a></div><div><section><h1>Title</h1>"
        f"{sentences('lead', 2)}<section><h2>One</h2>{sentences('first', 30)}</section>"
        f"<section><h2>Two</h2>{sentences('second', 3)}</section></section></div></body></html>"
    )
    text = read_page(page.encode(), limits=HtmlLimits()).text
    for word in ("The lead of", "The first of", "The second of"):
        assert word in text
    assert "Contents" not in text


@pytest.mark.parametrize(("tag", "more"), [("section", ""), ("div", 'class="section" ')])
def test_a_section_named_by_its_title_is_no_menu(tag: str, more: str) -> None:
    def section(name: str, count: int) -> str:
        said = (
            f"<p>Of {name} this is said in sentence number {n}, as it should be.</p>" for n in range(count)
        )
        return f'<{tag} {more}id="{name}"><h2>{name}</h2>{"".join(said)}</{tag}>'

    counts = {"lists": 20, "more-on-lists": 3, "comments": 3, "sets": 9}
    body = "".join(section(name, count) for name, count in counts.items())
    text = read_page(f"<html><body><main>{body}</main></body></html>".encode(), limits=HtmlLimits()).text
    assert "Of more-on-lists this" in text and "Of sets this" in text
    assert "Of comments this" not in text
