from __future__ import annotations

import gzip
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from workbench.data import byte_stream
from workbench.data.byte_stream import Unreadable, open_plain_file, shown_path, text_blocks
from workbench.errors import BadInput

PROSE = b"The quick brown fox jumps over the lazy dog.\n" * 5000
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "a.txt": bytes,
    "a.txt.gz": gzip.compress,
    "a.txt.zst": zstandard.compress,
}


def written(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", PACKERS)
def test_content_comes_out_whole(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, PACKERS[name](PROSE))
    assert b"".join(text_blocks(path)) == PROSE


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst"])
def test_two_members_are_one_content(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, PACKERS[name](b"one\n" * 400) + PACKERS[name](b"two\n" * 400))
    assert b"".join(text_blocks(path)) == b"one\n" * 400 + b"two\n" * 400


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst"])
def test_a_cut_archive_gives_what_is_there_and_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content = random.Random(0).randbytes(1_000_000).hex().encode()
    path = written(tmp_path, name, PACKERS[name](content)[:-200_000])
    read = b""
    with pytest.raises(Unreadable, match=f"{name}: is cut off") as caught:
        for block in text_blocks(path):
            read += block
    assert caught.value.reason == "cut_off"
    assert len(read) > 1_200_000
    assert content.startswith(read)


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst"])
def test_damage_in_the_middle_is_refused_by_name(tmp_path: Path, name: str) -> None:
    pack = gzip.compress if name.endswith(".gz") else zstandard.ZstdCompressor(write_checksum=True).compress
    packed = bytearray(pack(random.Random(0).randbytes(50_000).hex().encode()))
    packed[len(packed) // 2 : len(packed) // 2 + 200] = bytes(200)
    with pytest.raises(Unreadable, match=f"{name}: is damaged"):
        list(text_blocks(written(tmp_path, name, bytes(packed))))


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("packer", PACKERS)
def test_how_a_file_is_packed_is_told_by_its_bytes(tmp_path: Path, name: str, packer: str) -> None:
    assert b"".join(text_blocks(written(tmp_path, name, PACKERS[packer](PROSE)))) == PROSE


def test_zeros_after_the_last_member_are_padding(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt.gz", gzip.compress(PROSE) + bytes(100_000))
    assert b"".join(text_blocks(path)) == PROSE


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_mark_says_the_encoding(tmp_path: Path, encoding: str) -> None:
    text = "Grüße 😀 " * 100_000
    assert b"".join(text_blocks(written(tmp_path, "a.txt", text.encode(encoding)))).decode() == text


def test_gzip_with_a_bad_checksum_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt.gz", gzip.compress(PROSE)[:-8] + bytes(8))
    with pytest.raises(BadInput, match="data check"):
        list(text_blocks(path))


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst"])
def test_a_bomb_is_stopped_before_it_is_unpacked(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_stream, "RATIO_FREE_BYTES", 1_000_000)
    path = written(tmp_path, name, PACKERS[name](b"a" * 30_000_000))
    produced = 0
    with pytest.raises(BadInput, match="200 times its size"):
        for block in text_blocks(path):
            produced += len(block)
    assert produced < 30_000_000


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\x7fELF" + bytes(100), "program"),
        (b"\x89PNG\r\n\x1a\n", "picture"),
        (b"text and then" + bytes(10), "binary"),
        (gzip.compress(gzip.compress(b"hidden", mtime=0), mtime=0), "packed twice"),
        (b"PAR1" + bytes(8), "Parquet"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04rest", "zip"),
    ],
)
def test_what_is_not_text_is_refused_with_what_it_is(tmp_path: Path, head: bytes, what: str) -> None:
    with pytest.raises(BadInput, match=what) as caught:
        list(text_blocks(written(tmp_path, "a.txt", head)))
    assert "a.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_stray_zero_makes_no_program_of_a_text(tmp_path: Path) -> None:
    content = b"A text with one \0 in it, and an \x1b[0m escape.\n"
    assert b"".join(text_blocks(written(tmp_path, "a.txt", content))) == content


def test_the_utf8_mark_goes(tmp_path: Path) -> None:
    assert b"".join(text_blocks(written(tmp_path, "a.txt", b"\xef\xbb\xbfhello"))) == b"hello"


def test_pipes_devices_folders_and_bad_links_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "loop", "dangling", "device", "folder"):
        with pytest.raises(BadInput, match=name), open_plain_file(tmp_path / name):
            raise AssertionError("never gets here")


def test_a_file_that_grows_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt", PROSE)
    blocks = text_blocks(path)
    next(blocks)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(BadInput, match="changed while it was read"):
        list(blocks)


def test_stopping_early_closes_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt", PROSE * 20)
    blocks = text_blocks(path)
    next(blocks)
    blocks.close()  # type: ignore[attr-defined]
    assert not [name for name in Path("/proc/self/fd").iterdir() if _target(name) == str(path)]


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""


def test_shown_path_is_one_printable_line() -> None:
    shown = shown_path(os.fsdecode(b"new\nline\x1b]0;t\x07 \xff.txt"))
    assert shown.isprintable()
    assert shown.encode()  # no lone surrogates
    assert shown_path("plain ümlaut.txt") == "plain ümlaut.txt"
