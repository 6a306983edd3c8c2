"""What was said, turn after turn, as rows of text of which only those that changed are drawn again.

A reply grows in place: when it reaches the last row, the page moves up by a half, so that between two moves one row
is drawn and sent and not all of them. Scrolling is our own for that: Textual's draws the whole widget for each line
that is added. Text is shown as it is; markup, links and actions are never made from it. Markdown of finished turns
becomes indents and styles when somebody asks for it (tui/markdown.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual
from textual.widget import Widget

from tui.markdown import LONGEST, markdown_rows
from tui.wrapping import GrowingRows, Pieces, wrapped

TURNS_KEPT = 200
LABEL = 7
"""Cells of the column that says who speaks; in a narrow window a row of its own."""
_NARROW = 44
_LONGEST_ROW = 100
"""Cells of text; the eye loses its row in longer ones."""
_WHEEL_ROWS = 3
_WHO = {"you": "bold $primary", "model": "bold $success", "note": "$dim"}


@dataclass(eq=False, slots=True)
class Turn:
    """One thing that was said: `who` is you, model or note. A turn without text yet waits.

    text: what is shown of it. said: what it is word for word to the model, of a turn that is part of the conversation.
    """

    who: str
    text: str = ""
    footnote: str = ""
    is_finished: bool = True
    said: str = ""
    rows: list[Pieces] = field(default_factory=list)
    grown: GrowingRows | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    """What stands in one row: its text, and whether the mark of the place in the whole stands behind it."""

    pieces: Pieces
    is_marked: bool


class Transcript(Widget):
    """The turns of a conversation. Follows the end until somebody scrolls back."""

    DEFAULT_CSS = "Transcript { height: 1fr; padding: 0 0 0 1; text-wrap: nowrap; text-overflow: clip; }"

    class Followed(Message):
        """The end came into sight, or went out of it."""

        def __init__(self, transcript: Transcript) -> None:
            super().__init__()
            self.transcript = transcript

        @property
        def control(self) -> Transcript:
            """The one whose end it is."""
            return self.transcript

    def __init__(self, turns: list[Turn] | None = None) -> None:
        """turns: what was said already; the list is the caller's, and goes on growing."""
        super().__init__()
        self.turns = turns if turns is not None else []
        self.rows_painted = 0
        """How many rows were drawn, ever: what a reply costs."""
        self._rows: list[Pieces] = []
        self._shown: list[_Row] = []
        self._strips: dict[int, Strip] = {}
        self._top = 0
        self._follows = True
        self._has_more = False
        self._is_formatted = False

    @property
    def has_more(self) -> bool:
        """Whether something stands below the last row."""
        return self._has_more

    def format(self, on: bool) -> None:
        """Show what is finished as the Markdown that it may be, or letter by letter, as it always is while it grows."""
        if on != self._is_formatted:
            self._is_formatted = on
            self._lay_out_all()

    # turns

    def add(self, turn: Turn) -> Turn:
        """Show a turn at the end; the oldest go when there are many."""
        self.turns.append(turn)
        self._lay_out(turn)
        self._rows += turn.rows
        if len(self.turns) > TURNS_KEPT:
            self._forget_oldest()
        if turn.who == "you":
            self._follows = True
        self._paint()
        return turn

    def grow(self, turn: Turn, text: str) -> None:
        """Say more in a turn that is not finished; nothing where it was taken away meanwhile."""
        if not text or turn not in self.turns:
            return
        start = self._start_of(turn)
        end = start + len(turn.rows)
        turn.text += text
        if turn.grown is None or len(turn.text) == len(text):
            self._lay_out(turn)
            self._rows[start:end] = turn.rows
        else:
            first = turn.grown.grow(text)
            changed = self._labelled(turn, [((row, ""),) for row in turn.grown.rows[first:]], first)
            first += self._above(turn)
            turn.rows[first:] = [*changed, ()]
            self._rows[start + first : end] = turn.rows[first:]
        self._paint()

    def change(self, turn: Turn, *, footnote: str, is_finished: bool = True) -> None:
        """A turn has come to its end, or another one; nothing where it was taken away meanwhile."""
        if turn not in self.turns:
            return
        start = self._start_of(turn)
        end = start + len(turn.rows)
        turn.footnote, turn.is_finished = footnote, is_finished
        self._lay_out(turn)
        self._rows[start:end] = turn.rows
        self._paint()

    def take_away(self, turn: Turn) -> None:
        """Take a turn away, if it is there."""
        if turn not in self.turns:
            return
        start = self._start_of(turn)
        del self._rows[start : start + len(turn.rows)]
        self.turns.remove(turn)
        self._paint()

    def replaced(self) -> None:
        """Other turns stand in the list now."""
        self._rows, self._top, self._follows = [], 0, True
        self._lay_out_all()

    def clear(self) -> None:
        """Take all of them away."""
        self.turns.clear()
        self._rows, self._top, self._follows = [], 0, True
        self._paint()

    def _forget_oldest(self) -> None:
        gone = len(self.turns.pop(0).rows)
        del self._rows[:gone]
        self._top = max(0, self._top - gone)

    def _start_of(self, turn: Turn) -> int:
        behind = 0
        for each in reversed(self.turns):  # nearly always the last one
            behind += len(each.rows)
            if each is turn:
                break
        return len(self._rows) - behind

    # rows

    @property
    def _width(self) -> int:
        return min(max(2, self.size.width - 1), LABEL + _LONGEST_ROW)  # the last column marks the place

    @property
    def _indent(self) -> int:
        return LABEL if self._width >= _NARROW else 0

    def _above(self, turn: Turn) -> int:
        """Rows of a turn before its text."""
        return 0 if self._indent else 1

    def _lay_out(self, turn: Turn) -> None:
        width = self._width - self._indent
        turn.grown = None
        if not turn.text:
            said = "…" if not turn.is_finished else "(nothing)"
            body: list[Pieces] = [((said, "$dim"),)]
        elif self._is_formatted and turn.is_finished and turn.who != "note" and len(turn.text) <= LONGEST:
            body = markdown_rows(turn.text, width) or [()]
        else:
            turn.grown = GrowingRows(width)
            turn.grown.grow(turn.text.rstrip() if turn.is_finished else turn.text)
            body = [((row, "$dim" if turn.who == "note" else ""),) for row in turn.grown.rows]
        if turn.footnote:
            body += wrapped([(turn.footnote, "$dim")], width)
        above: list[Pieces] = [] if self._indent else [((turn.who, _WHO[turn.who]),)]
        turn.rows = [*above, *self._labelled(turn, body, 0), ()]

    def _labelled(self, turn: Turn, body: list[Pieces], first: int) -> list[Pieces]:
        if not self._indent:
            return body
        beside = [*body]
        if first == 0 and body:
            beside[0] = ((f"{turn.who:<{self._indent}}", _WHO[turn.who]), *body[0])
        for number, row in enumerate(body[first == 0 :], first == 0):
            (text, style), *rest = row or (("", ""),)
            beside[number] = ((" " * self._indent + text, style), *rest) if text or rest else ()
        return beside

    def on_resize(self, _: events.Resize) -> None:
        """Break every text anew."""
        self._lay_out_all()

    def _lay_out_all(self) -> None:
        """The turn that is in the first row stays there, with as much of it gone by. Of what is new the end is seen."""
        at, is_new = self._top, not self._rows
        first, above = 0, 0
        for number, turn in enumerate(self.turns):
            if above + len(turn.rows) > at:
                first = number
                break
            above += len(turn.rows)
        into = (at - above) / max(1, len(self.turns[first].rows)) if self.turns else 0.0
        for turn in self.turns:
            self._lay_out(turn)
        self._rows = [row for turn in self.turns for row in turn.rows]
        self._top = sum(len(turn.rows) for turn in self.turns[:first])
        if self.turns:
            self._top += int(into * len(self.turns[first].rows))
        if is_new:
            self._top = max(0, len(self._rows) - self.size.height)
        self._shown = []
        self._paint()

    # what is seen

    def scroll_rows(self, rows: int) -> None:
        """Move by so many rows, down for positive ones."""
        last = max(0, len(self._rows) - self.size.height)
        if rows < 0 or self._top < last:
            self._top = min(max(0, self._top + rows), max(last, 0))
            self._follows = self._top >= last
            self._paint()

    def scroll_page(self, direction: int) -> None:
        """A page, of which two rows are seen again."""
        self.scroll_rows(direction * max(1, self.size.height - 2))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel."""
        event.stop()
        self.scroll_rows(-_WHEEL_ROWS)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel."""
        event.stop()
        self.scroll_rows(_WHEEL_ROWS)

    def _follow(self) -> None:
        """With the end in sight, keep it so: by half a page at once, into which the reply then grows."""
        height, rows = self.size.height, len(self._rows)
        ahead = height // 2
        if rows <= height and self._follows:
            self._top = 0
        elif self._follows and rows > self._top + height:
            self._top = rows - height + ahead
        elif self._follows and rows - self._top < ahead:  # it became shorter, as Markdown or without a turn
            self._top = rows - height
        self._top = min(self._top, max(0, rows - 1))

    def _paint(self) -> None:
        """Draw the rows that differ from what stands there."""
        height = self.size.height
        if height <= 0 or self.size.width <= 0:
            return
        self._follow()
        shown = self._rows[self._top : self._top + height]
        shown += [()] * (height - len(shown))
        marks = self._marks(height)
        new = [_Row(row, number in marks) for number, row in enumerate(shown)]
        before, self._shown = self._shown, new
        changed = [y for y, row in enumerate(new) if y >= len(before) or row != before[y]]
        for y in changed:
            self._strips.pop(y, None)
        if changed:
            self.rows_painted += len(changed)
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))
        if (has_more := len(self._rows) - 1 > self._top + height) != self._has_more:
            self._has_more = has_more
            self.post_message(self.Followed(self))

    def _marks(self, height: int) -> range:
        """The rows of the last column that say which part of the whole is seen."""
        whole = max(len(self._rows), self._top + height)
        if whole <= height:
            return range(0)
        length = max(1, height * height // whole)
        start = round((height - length) * self._top / (whole - height))
        return range(start, start + length)

    def notify_style_update(self) -> None:
        """Another theme has other colours."""
        super().notify_style_update()
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        """One finished row."""
        if y not in self._strips:
            row = self._shown[y] if y < len(self._shown) else _Row((), False)
            self._strips[y] = self._strip(row, y)
        return self._strips[y]

    def _strip(self, row: _Row, y: int) -> Strip:
        width, line = self.size.width, Content.assemble(*row.pieces)
        number = self._top + y
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(number)) is not None:
            start, end = span
            style = Style.from_styles(self.screen.get_component_styles("screen--selection"))
            line = line.stylize(style, start, len(line) if end == -1 else end)
        if row.is_marked:
            line = line.truncate(width - 1, pad=True)
            line = Content.assemble(line, (" " * (width - 1 - cell_len(line.plain)) + "▕", "$faint"))
        strip = Visual.to_strips(self, line, width, 1, self.visual_style, apply_selection=False, pad=True)[0]
        return strip.adjust_cell_length(width, self.rich_style).apply_offsets(0, number)

    # what is marked with the mouse

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The marked text, without the column of who said it."""
        marked = selection.extract("\n".join("".join(text for text, _ in row) for row in self._rows))
        indent = " " * self._indent
        return "\n".join(line.removeprefix(indent).rstrip() for line in marked.split("\n")), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Something was marked, or nothing is any more."""
        self._strips.clear()
        self.refresh()
