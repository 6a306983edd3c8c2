"""A parsed page as blocks of text in the order they are read, each with what is known of where it stands.

A block is a run of text between two block-level tags. lexbor has parsed and repaired the page by then; it is written
out again, well-formed, and read as a stream of tags: three times faster than to walk its tree from Python, without
recursion, and in linear time whatever the nesting. What is no text (scripts, forms, pictures) is left out here;
whether a block is content is main_content.py's question.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field

# Elements with all that is in them, by their tags in well-formed markup.
_DROPPED = re.compile(
    r"<(script|style|noscript|noembed|noframes|xmp|plaintext|template|svg|math|iframe|select|button|textarea|object"
    r"|canvas|video|audio|dialog)\b[^>]*>(?:.*?</\1>|.*\Z)|<!--(?:.*?-->|.*\Z)",
    re.DOTALL,
)
_TAG = re.compile(r'<(/?)([a-zA-Z][^\s/">]*)([^">]*(?:"[^"]*"[^">]*)*)>')
_BREAK = "\x0b"  # <br>, until the text of its block is put together
_VOID = frozenset(
    re.findall(r"\w+", "area base br col embed frame hr img input link meta param source track wbr")
)
INLINE = frozenset(
    re.findall(
        r"\w+",
        "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q ruby rb s samp small"
        " span strike strong sub sup time tt u var wbr mi mo mn mrow msup msub",
    )
)
HIDDEN = 2
CONTENT_BY_NAME = 2
_MOST_ATTRIBUTES = 2000
_CACHED_ATTRIBUTES = 400
BOILERPLATE_TAGS = frozenset(("nav", "aside", "footer", "form", "menu", "fieldset", "figcaption"))
_NEVER_BESIDE = frozenset(("blockquote", "tbody", "tr", "td"))
"""Whatever their class: tweets, and rows whose class says how they look."""
_NAMES = re.compile(r'\b(?:class|id|role|rel|itemprop|data-component|data-testid)="([^"]*)"')
_HIDDEN = re.compile(
    r'\shidden=""|aria-hidden="true"|style="[^"]*(?:display\s*:\s*none|visibility\s*:\s*hidden)',
    re.IGNORECASE,
)
_TITLE = re.compile(r'\s*(?:class="section"\s*)?id="([^"]*)"\s*(?:class="section"\s*)?')
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")

# Words of class and id, between anything that is no letter, that say a part is beside the content.
_BOILERPLATE_WORDS = re.compile(
    r"""(?:^|[^a-z])(?:
    comments?|commentlist|disqus|respond|replies|reply|trackbacks?|pingbacks?
    |sidebar|sidebars|side-?bar|rail|aside|complementary|contentinfo
    |related|recommend(?:ed|ations?|s)?|recirc|outbrain|taboola|zergnet|more-?(?:stories|news|articles|posts|from|on)
    |popular|trending|most-?(?:read|viewed|popular)|also-?(?:read|like)|see-?also|read-?(?:more|next)|up-?next|teasers?
    |share|sharing|sharethis|sharedaddy|shares|addthis|addtoany|social|socials|follow|followus|facebook|whatsapp
    |ads?|adv|advert|adverts|advertisements?|advertising|adsense|adslot|adbox|adunit|sponsor|sponsors|sponsored|promo|promos|promotion|banner
    |newsletters?|subscribe|subscription|signup|sign-?up|sign-?in|login|register|paywall|donate
    |nav|navi|navbar|navigation|menus?|submenu|breadcrumbs?|pagination|pager|paging|pagenav|prev-?next|toc-?link|skip-?link
    |footer|foot|masthead|topbar|toolbar|site-?header|global-?header|page-?header
    |cookies?|consent|gdpr|popup|pop-?up|modal|overlay|lightbox|notification|toast
    |widgets?|tag-?(?:list|cloud|s)|tags|taglist|tagcloud|post-?tags|entry-?tags|categories|cat-?links
    |byline|bylines|author|authors|author-?(?:bio|info|box)|biography|about-?(?:the-?)?author
    |meta|post-?meta|entry-?meta|article-?meta|dateline|timestamp|publish(?:ed)?-?(?:date|time|on)|posted-?on|postdate|entry-?date
    |caption|captions|credit|credits|copyright|disclaimer|legal|imprint
    |print|printfriendly|printonly|hidden|invisible|visually-?hidden|sr-?only|screen-?reader(?:-?text)?|hide|noprint|no-?print
    |rating|ratings|vote|votes|poll|survey|search|searchbox|searchform|feedback|contact-?form
    |carousel|slider|slideshow|gallery|thumbnails?|player|playlist
    |shoutbox|tooltip|jump-?to|edit-?section|editsection|mw-editsection|navbox|hatnote|catlinks|printfooter|reflist|references
    )(?:$|[^a-z])""",
    re.VERBOSE,
)
# Words that say a part is the content, whatever else its class says.
_CONTENT_WORDS = re.compile(
    r"(?:^|[^a-z])(?:article-?(?:body|content|text)|post-?(?:body|content|text)|entry-?(?:content|body)|story-?(?:body|text|content)"
    r"|main-?content|page-?content|body-?(?:text|copy|content)|articlebody|blog-?post|hentry|instapaper_body)(?:$|[^a-z])"
)


@dataclass(slots=True)
class Blocks:
    """The blocks of a page, and the block-level elements they stand in, as columns.

    Elements are numbered in the order they open: parents before children, 0 is the body.
    """

    texts: list[str] = field(default_factory=list)
    link_characters: list[int] = field(default_factory=list)
    """How many of a block's characters are in links."""
    elements: list[int] = field(default_factory=list)
    """The element a block stands in."""
    tags: list[str] = field(default_factory=lambda: ["body"])
    """Of elements."""
    parents: list[int] = field(default_factory=lambda: [-1])
    """Of elements."""
    beside: list[int] = field(default_factory=lambda: [0])
    """What an element says of itself: 1 that it is beside the content, HIDDEN that it is not shown, else 0."""
    content: list[int] = field(default_factory=lambda: [0])
    """CONTENT_BY_NAME if an element is called the content, 1 if it is <article> or <main>, else 0."""
    nesting: int = 0
    """How many elements are open within each other at most."""

    def _add_block(self, pieces: list[str], link_characters: int, element: int, preformatted: bool) -> None:
        """What was gathered is a block, if there is text in it."""
        text = "".join(pieces)
        if "&" in text:
            text = text.replace("&nbsp;", " ").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        if preformatted:
            text = text.replace(_BREAK, "\n").strip("\n").rstrip()
        elif _BREAK in text:
            text = "\n".join(line for part in text.split(_BREAK) if (line := " ".join(part.split())))
        else:
            text = " ".join(text.split())
        if text:
            self.texts.append(text)
            self.link_characters.append(min(link_characters, len(text)))
            self.elements.append(element)

    def _add_element(self, tag: str, attributes: str, parent: int) -> int:
        """The number of an element that opens."""
        is_beside, is_content, is_hidden = tag in BOILERPLATE_TAGS, int(tag in ("article", "main")), False
        if attributes:
            by_words, is_called_content, is_hidden = _said_by(attributes)
            by_words = by_words and not _is_named_by_its_title(tag, attributes)
            is_beside = (is_beside or (by_words and tag not in _NEVER_BESIDE)) and not is_called_content
            is_content = CONTENT_BY_NAME if is_called_content else is_content
        self.tags.append(tag)
        self.parents.append(parent)
        self.beside.append(HIDDEN if is_hidden else int(is_beside))
        self.content.append(is_content)
        return len(self.tags) - 1


def blocks_of(html: str) -> Blocks:
    """The blocks of well-formed markup: the inside of a body as a parser writes it out."""
    blocks = Blocks()
    parts = _TAG.split(_DROPPED.sub("", html))
    pieces = [parts[0]] if parts[0] else []
    link_characters = links = element = 0
    preformatted = is_hidden = False
    nesting = 0
    above: list[tuple[int, int, bool, bool]] = []
    for slash, tag, attributes, text in zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4], strict=True):
        if tag in _VOID:
            if tag in ("br", "hr"):
                pieces.append(_BREAK)
        else:
            if pieces and tag not in INLINE:
                blocks._add_block(pieces, link_characters, element, preformatted)
                pieces, link_characters = [], 0
            if slash:
                if above:
                    element, links, preformatted, is_hidden = above.pop()
            else:
                above.append((element, links, preformatted, is_hidden))
                if len(above) > nesting:
                    nesting = len(above)
                if tag not in INLINE:
                    element = blocks._add_element(tag, attributes, element)
                    preformatted = preformatted or tag == "pre"
                else:
                    is_hidden = is_hidden or (attributes != "" and _said_by(attributes)[2])
                    links += tag == "a"
        if text and not is_hidden:
            pieces.append(text)
            if links:
                link_characters += len(text)
    if pieces:
        blocks._add_block(pieces, link_characters, element, preformatted)
    blocks.nesting = nesting
    return blocks


def _is_named_by_its_title(tag: str, attributes: str) -> bool:
    """Whether an element is a section whose only name is made of its heading, as generators of manuals do: what
    stands in `more-on-lists` or `polling-objects` is no list of more articles and no poll.
    """
    if tag != "section" and 'class="section"' not in attributes:
        return False
    named = _TITLE.fullmatch(attributes)
    return named is not None and _BOILERPLATE_WORDS.fullmatch(named[1]) is None


def _said_by(attributes: str) -> tuple[bool, bool, bool]:
    """Whether an element is beside the content, is called the content, is hidden, by its attributes."""
    if len(attributes) <= _CACHED_ATTRIBUTES:
        return _remembered(attributes)
    return _read_attributes(attributes[:_MOST_ATTRIBUTES])


@functools.lru_cache(maxsize=1 << 14)
def _remembered(attributes: str) -> tuple[bool, bool, bool]:
    return _read_attributes(attributes)


def _read_attributes(attributes: str) -> tuple[bool, bool, bool]:
    is_hidden = _HIDDEN.search(attributes) is not None
    words = _CAMEL.sub("-", " ".join(_NAMES.findall(attributes))[:500]).lower()
    is_content = _CONTENT_WORDS.search(words) is not None
    return not is_content and _BOILERPLATE_WORDS.search(words) is not None, is_content, is_hidden
