"""What went wrong, in a line that a person can act on."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from workbench.errors import BadInput, in_one_line


def test_the_machines_errors_name_the_file_and_no_number() -> None:
    denied = PermissionError(errno.EACCES, "Permission denied", "/runs/a/log.txt")
    assert in_one_line(denied) == "/runs/a/log.txt: permission denied"
    assert in_one_line(OSError(errno.EIO, "Input/output error")) == "input/output error"
    with pytest.raises(OSError) as caught:
        Path("/nowhere/at/all").read_text()
    assert in_one_line(caught.value) == "/nowhere/at/all: no such file or directory"


def test_our_own_say_it_as_they_do() -> None:
    assert in_one_line(BadInput("is wrong", fix="mend it")) == str(BadInput("is wrong", fix="mend it"))
    assert in_one_line(OSError("a driver's own words")) == "a driver's own words"
