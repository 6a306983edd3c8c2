"""The tables of [corpus] about what becomes text and what is masked in it: [corpus.extraction] and [corpus.pii]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from workbench.recipe_fields import Bytes, Flag, PositiveInt, Table, Text
from workbench.text_columns import text_columns


def _columns(key: str) -> str:
    text_columns(key)  # raises ValueError with what is wrong
    return key


TextKey = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_columns)]
TextKeys = Annotated[dict[Text, TextKey], Field(max_length=256)]
Ratio = Annotated[float, Field(ge=2, le=100_000, allow_inf_nan=False, strict=True)]
LanguageCode = Annotated[str, Field(pattern=r"\A[a-z]{2,3}\Z")]


class Extraction(Table):
    """How files become text, and where the patience with them ends."""

    html_text: Literal["main", "all"] = "main"
    """What of a web page is its text: the `main` content without menus, comments and notices, or `all` that is
    neither script nor form."""
    max_page_bytes: Bytes = 10_000_000
    """A web page larger than this is a bad record (`page_too_large`). The longest articles have 3 MB with their
    markup."""
    max_nesting: PositiveInt = 2_000
    """A web page with tags deeper within each other than this is a bad record (`nested_too_deep`). Real pages have up
    to 50; browsers stop at 512."""
    max_unpack_ratio: Ratio = 200.0
    """Reading stops (`bomb`) when a packed file has given 100 MB and more than this many bytes for each of its own.
    Prose packs 1:3, the most even log 1:100."""


class Pii(Table):
    """What is masked in every text. All kinds are off by default; report.json counts each and shows samples made
    unreadable."""

    emails: Flag = False
    """`joe@example.org` becomes `[email]`."""
    phone_numbers: Flag = False
    """Numbers that begin with +, have the form of North American, French or other national ones with a leading 0, or
    follow a word such as `tel.`, become `[phone number]`. Dates, versions, ISBNs and digests are left alone."""
    ip_addresses: Flag = False
    """Public IPv4 and IPv6 addresses become `[ip address]`; what follows a word such as `version` does not."""
    private_ip_addresses: Flag = False
    """With ip_addresses, also those that say nothing outside of their network: localhost, 10.0.0.1, those for
    documentation."""
    card_numbers: Flag = False
    """Numbers of credit cards, if issuer, length and check digit are right, become `[card number]`."""
    ibans: Flag = False
    """Account numbers whose country, length and check digits are right become `[iban]`."""
    secrets: Flag = False
    """Private key blocks, and keys and tokens of AWS, GitHub, GitLab, Slack, Google, Stripe, OpenAI, Anthropic, Hugging
    Face, npm, PyPI and SendGrid, and JSON web tokens, become `[secret]`."""
