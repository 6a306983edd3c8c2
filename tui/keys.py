"""Every key of the app in one table: from it come the bindings, the last line of each screen, the help and the palette.

A key has one meaning wherever it works; a test holds every screen to that. Small letters act on the view,
capital letters on the world. Knows no screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textual.binding import Binding
from textual.keys import key_to_character


@dataclass(frozen=True, slots=True)
class Key:
    """One meaning.

    keys: as Textual writes them, with commas between; shown: what stands on the key; word: for the last line.
    does: what it does, a sentence of the help; about: what else to know before pressing it.
    actions: the names of actions that carry it out on some screen; empty: the name in the table.
    """

    keys: str
    shown: str
    word: str
    does: str
    about: str = ""
    actions: tuple[str, ...] = ()


KEYS = {
    # everywhere
    "open": Key("enter", "enter", "open", "Open what is under the cursor",
                actions=("open", "select", "submit", "edit")),
    "help": Key("question_mark,f1", "?", "help", "Every key and figure of this screen, explained",
                "Move through the list: two sentences on each thing, and where they come from.",
                ("keys", "app.keys", "dismiss")),
    "palette": Key("ctrl+p,colon", "ctrl+p", "commands", "Find anything that can be done here by its name",
                   "Type a few letters of it. Themes are there too.", ("command_palette",)),
    "leave": Key("q,ctrl+q", "q", "quit", "Close this window; runs go on",
                 "A run works in a process of its own and needs no window. `workbench open` comes back to it.",
                 ("detach", "app.detach", "dismiss")),
    "back": Key("escape", "esc", "back", "One step out; never quits",
                actions=("back", "app.pop_screen", "dismiss", "clear", "close")),
    "copy": Key("y", "y", "copy", "Copy the command that does the same in a shell",
                "By the terminal's own clipboard (OSC 52), inside tmux by its buffer; where neither can be, "
                "into a file that is named.", ("copy_command",)),
    "find": Key("slash", "/", "filter", "Show only what contains the words that are typed",
                "Esc shows everything again.", ("find", "filter", "search")),
    "earlier": Key("comma", ",", "earlier", "The one before: match, sample, document",
                   actions=("sample", "match", "turn")),
    "later": Key("full_stop", ".", "later", "The one after: match, sample, document",
                 actions=("sample", "match", "turn")),
    "prompt": Key("semicolon", ";", "prompt", "The samples of the next prompt",
                  "Then earlier and later go through those of that prompt, from the first to the newest."),
    "interrupt": Key("ctrl+c", "ctrl+c", "interrupt", "Say how to quit; a slip of the hand ends nothing",
                     actions=("help_quit",)),
    "repaint": Key("ctrl+l", "ctrl+l", "repaint", "Draw everything again",
                   "For when another program wrote over the screen."),
    "suspend": Key("ctrl+z", "ctrl+z", "suspend", "To the shell; fg comes back", actions=("suspend_process",)),
    "mouse": Key("ctrl+t", "ctrl+t", "mouse", "Give the mouse back to the terminal, or take it",
                 "With the mouse given back the terminal selects text as usual."),
    "next_pane": Key("tab", "tab", "next", "To the next part of the screen",
                     actions=("app.focus_next", "focus_next", "next_part")),
    "runs": Key("1", "1", "runs", "The list of runs", actions=("runs", "back", "app.pop_screen")),
    "chat": Key("t,7", "t", "talk", "Talk to the model of this run",
                "The newest checkpoint answers, in a process of its own: a run that trains goes on training."),
    "log": Key("8", "8", "log", "What the worker printed",
               "It is empty while all is well: libraries and errors write there."),
    # runs
    "new": Key("n", "n", "new run", "Choose a recipe, see what it will do and cost, start it",
               actions=("start", "new")),
    "order": Key("o", "o", "order", "Newest first, by name, by state, or by loss", "The order is remembered."),
    "mark": Key("space", "space", "mark", "Mark a run, or take the mark back",
                actions=("mark", "toggle", "choose")),
    "baseline": Key("b", "b", "baseline", "Measure the others against the next one"),
    "compare": Key("c", "c", "compare", "The marked runs side by side"),
    "start": Key("G", "G", "start", "Start what is shown",
                 "It begins in a process of its own; nothing that was made before is made again."),
    # a run
    "save": Key("C", "C", "checkpoint", "Save a checkpoint now",
                "All that is needed to go on from this step, bit for bit. It is saved by itself every few seconds too.",
                ("ask", "choose")),
    "pause": Key("P", "P", "pause", "Pause, or go on",
                 "It saves, keeps its memory and waits; the processor is free for others meanwhile.",
                 actions=("pause", "go_on", "choose")),
    "stop": Key("S", "S", "stop…", "Stop, with a checkpoint or without (asks first)",
                "R takes it up from its last checkpoint: the steps since then are taken again, and come out alike.",
                ("stop", "choose")),
    "resume": Key("R", "R", "resume", "Go on with a run that was stopped, failed or crashed",
                  "The result is the same as if it had never been interrupted.", ("resume", "choose")),
    "steer": Key("A", "A", "steer…", "All that can be asked of this run, with its commands"),
    "tune": Key("T", "T", "tune…", "Change a value while it trains",
                "What changes the result makes the run one of a kind: its recipe alone no longer tells it.",
                ("tune", "choose")),
    "decay": Key("D", "D", "decay…", "WSD: let the learning rate fall from here (asks first)",
                 "The loss drops while the rate falls, and the training ends with it.", ("decay", "choose")),
    "branch": Key("B", "B", "branch…", "A new run from a checkpoint, with keys changed", actions=("branch", "choose")),
    "stage_before": Key("left_square_bracket", "[", "stage", "The stage before", actions=("stage",)),
    "stage_after": Key("right_square_bracket", "]", "stage", "The stage after; past the last, follow the run",
                       actions=("stage",)),
    "freeze": Key("p", "p", "freeze", "Freeze the screen, or go on; the run goes on anyway"),
    # charts
    "smooth": Key("s", "s", "smooth", "Smooth the curves more, then not at all",
                  "A moving average shows where a noisy curve goes; the raw curve stays behind it."),
    "zoom": Key("z", "z", "zoom", "This part alone, or everything again"),
    "axis": Key("x", "x", "x axis", "By step, tokens, time or FLOPs",
                "Two runs of different speed or batch are only fair to compare by tokens or by time."),
    "metric": Key("m", "m", "metric", "Show another metric in this chart, or measure this machine",
                  actions=("metric", "measure")),
    "cursor_left": Key("left", "←", "cursor", "To the left",
                       actions=("cursor", "stage", "told")),
    "cursor_right": Key("right", "→", "cursor", "To the right", actions=("cursor", "stage", "told")),
    "first": Key("home", "home", "start", "To the start", actions=("cursor", "top")),
    "last": Key("end", "end", "end", "To the end", actions=("cursor", "bottom")),
    "stretch": Key("plus", "+", "zoom in", "Half as much of the x axis"),
    "shrink": Key("minus", "-", "zoom out", "Twice as much of it", actions=("stretch",)),
    "pan_left": Key("less_than_sign", "<", "earlier", "Earlier part of it", actions=("pan",)),
    "pan_right": Key("greater_than_sign", ">", "later", "Later part of it", actions=("pan",)),
    "all_x": Key("equals_sign", "=", "all", "All of it, without cursor", actions=("follow",)),
    "follow": Key("f", "f", "follow", "Follow the newest", "Moving up by hand stops it; f or end takes it up again."),
    "full": Key("a", "a", "all y", "All values, or the range that shows most of them best",
                "The first steps of a loss are so high that they would press the rest flat."),
    "log_scale": Key("l", "l", "log y", "Logarithmic or linear scale",
                     "On a logarithmic scale equal ratios are equal heights: late, small gains can be seen."),
    # rooms
    "recipe": Key("2", "2", "recipe", "The recipe: every key, its meaning, and what it would cost", actions=("room",)),
    "corpus": Key("3", "3", "corpus", "The corpus: what was kept, what was left out, and why", actions=("room",)),
    "tokens": Key("4", "4", "tokens", "Type a text and see where the tokenizer cuts it", actions=("room",)),
    "scores": Key("6", "6", "eval", "The scorecard, with intervals and with what came out wrong", actions=("room",)),
    "doctor": Key("9", "9", "doctor", "This machine: what is wrong with it, and how fast it is", actions=("room",)),
    "documents": Key("d", "d", "documents", "Page through the documents themselves"),
    "why": Key("k", "k", "why", "What the filters find of this document", "Each figure beside its threshold."),
    "hidden": Key("v", "v", "hidden", "Show what is hidden here, or hide it again", actions=("hidden", "invisibles")),
    "random": Key("r", "r", "random", "Another look: a document from anywhere, the machine again",
                  actions=("random", "recheck")),
    "beside": Key("ctrl+o", "ctrl+o", "beside…", "Put a second one beside this one, or take it away"),
    "reset": Key("backspace,delete", "⌫", "default", "Take this key out: its default holds"),
    "undo": Key("u", "u", "undo", "Take the last change back"),
    "write": Key("W", "W", "save…", "Save the recipe as a file"),
    "plan": Key("g", "g", "plan", "What it will do and cost, in full"),
    # text
    "wrap": Key("w", "w", "wrap", "Break long lines, or cut them"),
    "again": Key("ctrl+r", "ctrl+r", "again", "Another reply to the last message", actions=("send",)),
    "forget": Key("ctrl+n", "ctrl+n", "new", "Forget the conversation",
                  "It is kept until then: for when its model is talked to again."),
    "new_line": Key("ctrl+j", "ctrl+j", "new line", "A new line in the message", "Enter alone sends it."),
    "recall": Key("up", "↑", "recall", "From the first line: the message that was sent before"),
    "copy_shown": Key("ctrl+y", "ctrl+y", "copy", "Copy what is shown: a reply as it was written, a table as Markdown",
                      actions=("copy_reply", "copy_tables")),
    "markdown": Key("ctrl+g", "ctrl+g", "markdown", "Show finished messages as Markdown, or letter by letter",
                    "A reply that still comes is always letter by letter. Links show where they lead and open nothing.",
                    ("markdown",)),
    "page_up": Key("pageup", "pgup", "scroll", "A page up", actions=("scroll",)),
    "page_down": Key("pagedown", "pgdn", "scroll", "A page down", actions=("scroll",)),
}  # fmt: skip


def bind(name: str, action: str = "", **changes: Any) -> Binding:
    """The binding of a meaning. `action` where it is carried out by another name; `tooltip`, `show`… as Binding has."""
    key = KEYS[name]
    facts = {"description": key.word, "tooltip": key.does} | changes
    return Binding(key.keys, action or (key.actions or (name,))[0], **facts)


def key_name(key: str) -> str:
    """What stands on `key` (as Textual names it): of several that mean the same, each has its own name.

    So a line that tells which keys work says `ctrl+q` where `q` is a letter of the text that is being typed.
    """
    first = next((entry for entry in KEYS.values() if entry.keys.partition(",")[0] == key), None)
    if first is not None:
        return first.shown
    character = key_to_character(key)
    return character if character is not None and character.isprintable() else key


def meaning(key: str, action: str) -> tuple[str, Key] | None:
    """What `key` (as Textual names it) means when it runs `action`; None when the table does not know it so."""
    verb = action.partition("(")[0]
    for name, entry in KEYS.items():
        if key in entry.keys.split(",") and verb in (entry.actions or (name,)):
            return name, entry
    return None
