from __future__ import annotations

from importlib.util import find_spec

# Pages are parsed by resiliparse, which a whole installation has.
collect_ignore = (
    []
    if find_spec("resiliparse")
    else ["test_html_page.py", "test_encodings.py", "test_warc.py", "test_tables.py"]
)
