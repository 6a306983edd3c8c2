"""The records of a JSON file that are not one a line: the items of a list, or objects one after another.

    [ {"text": "a"}, {"text": "b"} ]      {"text": "a"}           {
                                          {"text": "b"}             "text": "a"
                                                                  }

They are found by quotes, brackets and commas alone, as the bytes come in; what an item holds is strict_json.py's to
judge. A string ends where its line does, for JSON has no line ends in strings. An item that never ends, or not with
the bracket it began with, is bad, and reading goes on at the next line that begins as it did, so that one quote or
bracket too many costs its own item. Memory: twice an item and a chunk.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

MOST_LOST = 64
"""So often reading goes on behind an item that never ends: each time costs another look at what is held of it."""


def _usual_item(levels: int) -> bytes:
    """A pattern of values with so many levels of brackets below, in which strings have no escapes (see `feed`)."""
    below = rb"|" + _usual_item(levels - 1) if levels else b""
    return rb'[\[{](?:[^\]\["{}]++|"[^"\n]*+"%s)*+[\]}]' % below


# Most items of lists: an object that is not deep, and what stands behind it. The rest is taken bracket by bracket,
# which would say the same of these.
_USUAL_ITEM = re.compile(rb"[\s,]*+((?=\{)%s(?<=\}))(?=\s*+[\],])" % _usual_item(4))
_MARK = re.compile(rb"[\]\[{},\n]")
_PAIRS = {tuple(b"{}"), tuple(b"[]")}
_BETWEEN = b" \t\r\n,"
_BEGINNING = re.compile(rb"[\s,]*")


@dataclass(frozen=True, slots=True)
class JsonItem:
    """One item: the line it begins on, from 1, and its bytes, or why it could not be cut out."""

    line: int
    content: bytes
    bad: tuple[str, str] | None = None
    """Reason and detail."""


def json_items(chunks: Iterable[bytes], *, max_item_bytes: int) -> Iterator[JsonItem]:
    """Yields the items of all lists in `chunks`, and what stands outside of lists, in order, where they end.

    What is longer than `max_item_bytes` is one bad item (`record_too_long`), what the end of the file cuts off
    another (`cut_off`).
    """
    cutter = _Cutter(max_item_bytes)
    for chunk in chunks:
        yield from cutter.feed(chunk)
    yield from cutter.end()


class _Cutter:
    """Where we are: bytes held from behind the last item on, looked at up to `at`."""

    def __init__(self, max_item_bytes: int) -> None:
        self._most = max_item_bytes
        self._held = bytearray()
        self._masked = bytearray()  # the same without escapes: every quote in it is one
        self._backslash = b""  # that came last and waits for what it escapes
        self._at = 0
        self._begun = 0  # behind the last item
        self._counted, self._line = 0, 1  # the line of that place
        self._base = 0  # 1 in a list
        self._depth = 0  # open brackets, the list's included
        self._in_string = False
        self._is_dropping = False
        self._lost = 0

    def feed(self, chunk: bytes) -> Iterator[JsonItem]:
        """The items that end in the next `chunk`."""
        chunk = self._backslash + chunk
        whole = len(chunk) - (len(chunk) - len(chunk.rstrip(b"\\"))) % 2
        self._backslash, chunk = chunk[whole:], chunk[:whole]
        self._held += chunk
        self._masked += chunk.replace(b"\\\\", b"..").replace(b'\\"', b"..")
        yield from self._look()
        self._forget(self._begun)
        while not self._is_dropping and len(self._held) > self._most and self._held.strip(_BETWEEN):
            if (yield from self._give_up("record_too_long", f"more than {self._most:,} bytes")):
                yield from self._look()
                self._forget(self._begun)
            else:
                self._is_dropping = True
        if self._is_dropping or len(self._held) > self._most:
            self._forget(self._at)

    def end(self) -> Iterator[JsonItem]:
        """The items that are left when nothing more comes."""
        while self._depth > self._base or self._in_string:
            if self._is_dropping or not (yield from self._give_up("cut_off", "it has no end")):
                return
            yield from self._look()
        yield from self._item(len(self._held))
        if self._base:
            yield JsonItem(self._line_of(len(self._held)), b"", ("cut_off", "the list has no end"))

    def _look(self) -> Iterator[JsonItem]:
        masked = self._masked
        while self._at < len(masked):
            if self._in_string:
                self._leave_string()
            elif self._base and self._at == self._begun and (usual := _USUAL_ITEM.match(masked, self._at)):
                start, self._at = usual.span(1)
                self._begun = self._at
                yield JsonItem(self._line_of(start), bytes(self._held[start : self._at]))
            else:
                yield from self._brackets()

    def _leave_string(self) -> None:
        """Go behind the string that `at` is in, or to the end of what came so far."""
        quote = self._masked.find(b'"', self._at)
        end = len(self._masked) if quote < 0 else quote
        newline = self._masked.find(b"\n", self._at, end)
        self._in_string = quote < 0 and newline < 0
        self._at = newline if newline >= 0 else end + (quote >= 0)

    def _brackets(self) -> Iterator[JsonItem]:
        """Go on to the next string or behind the end of an item."""
        quote = self._masked.find(b'"', self._at)
        end = len(self._masked) if quote < 0 else quote
        run = bytes(self._masked[self._at : end])
        closed = run.count(b"}") + run.count(b"]")
        if self._depth - closed > self._base:  # it stays inside of the item
            self._depth += run.count(b"{") + run.count(b"[") - closed
        else:
            for mark in _MARK.finditer(run):
                place, was_inside = self._at + mark.start(), self._depth > self._base
                if self._ends_something(mark[0]):
                    yield from self._close(place) if was_inside else self._pass(place)
                    return
        self._at, self._in_string = end + (quote >= 0), quote >= 0

    def _ends_something(self, mark: bytes) -> bool:
        """Take in a bracket, comma or line end; whether an item or a list ends, or a list begins with it."""
        if mark in b"{[":
            self._depth += 1
            return mark == b"[" and self._depth == 1
        if mark in b"}]":
            self._depth -= self._depth > self._base
            return self._depth == self._base
        return self._depth == self._base and mark == (b"," if self._base else b"\n")

    def _close(self, place: int) -> Iterator[JsonItem]:
        """The item whose last byte is the bracket at `place`."""
        begins, ends = self._held[self._start()], self._held[place]
        if self._is_dropping or (begins, ends) in _PAIRS:
            yield from self._item(place + 1)
        elif (yield from self._give_up("not_json", "its brackets do not match")):
            return
        self._at = self._begun = place + 1

    def _pass(self, place: int) -> Iterator[JsonItem]:
        """What stands before the mark at `place`, which belongs to no item."""
        yield from self._item(place)
        mark = self._held[place]
        if mark in b"[]":
            self._base = self._depth = int(mark == ord("["))
        self._at = place + 1
        self._begun = place + (mark != ord("\n"))

    def _item(self, end: int) -> Iterator[JsonItem]:
        """What is held up to `end`, unless it is nothing."""
        if self._is_dropping:
            self._is_dropping = False
        elif content := bytes(self._held[self._begun : end]).strip(_BETWEEN):
            yield JsonItem(self._line_of(self._start()), content)

    def _give_up(self, reason: str, detail: str) -> Generator[JsonItem, None, bool]:
        """One bad item, and back to the next line that begins as it did. Returns whether there is one."""
        start = self._start()
        yield JsonItem(self._line_of(start), b"", (reason, detail))
        self._lost += 1
        line_start = self._held.rfind(b"\n", self._begun, start)
        if line_start < 0 or self._lost >= MOST_LOST:
            return False
        again = self._held.find(self._held[line_start : start + 1], start)
        if again < 0:
            return False
        self._at = self._begun = again
        self._depth, self._in_string = self._base, False
        return True

    def _start(self) -> int:
        """Where the item in hand begins."""
        found = _BEGINNING.match(self._held, self._begun)
        assert found is not None
        return found.end()

    def _line_of(self, place: int) -> int:
        """The line of `place`, which is never before the one asked for last."""
        self._line += self._held.count(b"\n", self._counted, place)
        self._counted = place
        return self._line

    def _forget(self, place: int) -> None:
        """Hold nothing before `place`."""
        self._line_of(place)
        del self._held[:place], self._masked[:place]
        self._counted = 0
        self._at -= place
        self._begun = max(0, self._begun - place)
