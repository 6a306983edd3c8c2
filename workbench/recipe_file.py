"""A recipe on disk: read it, check all of it at once, and point at the file and line of every problem.

A recipe is data: TOML, at most 256 kB, no includes, no code. `--set TABLE.KEY=VALUE` wins over the file.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.errors import BadInput, NotFound, RecipeError, WorkbenchError
from workbench.model_config import MOST_BIGRAM_VOCABULARY
from workbench.recipe import Recipe, Tokenizer
from workbench.recipe_derived import derive_from_depth
from workbench.recipe_model import Model
from workbench.recipe_problems import line_of, nearest, problem_of
from workbench.recipe_vocabulary import all_tables, tables

MAX_BYTES = 256_000
MAX_PROBLEMS = 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a recipe or a run may be called: it is a file's name too. `Recipe.name` asks the same."""
NAME_RULE = "use letters, digits, dot, dash and underscore, at most 64, the first a letter or digit"
_STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'')
_MANY_DOTS = re.compile(r"(?:[\w-]+\s*\.\s*){16}")
_ENDLESS_NUMBER = re.compile(r"\d{1000}")
_HEADER = re.compile(r"^\s*\[{1,2}\s*([A-Za-z0-9_.-]+)\s*\]")
_KEY = re.compile(r"^\s*([A-Za-z0-9_.-]+)\s*=")


@dataclasses.dataclass(frozen=True)
class LoadedRecipe:
    """A checked recipe, with where each value came from."""

    recipe: Recipe
    path: Path
    text: str
    overrides: Mapping[str, Any]
    lines: Mapping[str, int]
    start: Mapping[str, str] = dataclasses.field(default_factory=dict)
    derived: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """`TABLE.KEY` -> what it was derived from."""

    @property
    def folder(self) -> Path:
        """Relative paths in the recipe start here."""
        return self.path.parent

    def origin(self, table: str, key: str) -> str:
        """`--set`, `--from`, `recipe`, `derived: from …` or `default`."""
        name = f"{table}.{key}"
        if table == "start" and key in self.start and name not in self.overrides:
            return "--from"
        if name in self.derived:
            return f"derived: from {self.derived[name]}"
        if name in self.overrides:
            return "--set"
        if name in self.lines:
            return "recipe"
        return "--set" if any(each.startswith(f"{name}.") for each in self.overrides) else "default"

    def origins_inside(self, table: str, key: str) -> dict[str, str]:
        """The origin of every value of the table that `key` is, as [TABLE.KEY] or `KEY = { … }`."""
        inner = getattr(getattr(self.recipe, table), key)
        whole = self.origin(table, key)
        origins = {}
        for each in type(inner).model_fields:
            origin = self.origin(f"{table}.{key}", each)
            # Written as `KEY = { … }` it has no line of its own.
            is_inline = origin == "default" and whole != "default" and each in inner.model_fields_set
            origins[each] = whole if is_inline else origin
        return origins

    def blame(self, table: str, key: str, error: WorkbenchError) -> BadInput:
        """`error`, told as a problem of this recipe's `key`: with the line where it is written."""
        said = error.one_line()
        # One that begins with the key, as `optimizer = "x" cannot …`, needs no other name for it.
        place = f"[{table}]" if key and re.match(rf"{key}\b", said) else f"[{table}] {key}".rstrip() + ":"
        message = f"{place} {said}"
        if (origin := self.origin(table, key)) in ("--set", "--from"):
            return BadInput(message, file=origin)
        return BadInput(message, file=self.path, line=line_of(self.lines, table, key))


def shipped_folder() -> Path:
    """Where the recipes that come with Workbench lie."""
    inside = Path(__file__).parent / "recipes"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "recipes"


def shipped_recipes() -> list[tuple[str, str]]:
    """Name and description of every shipped recipe: the one to begin with, then the others by name."""
    found = []
    for path in sorted(
        shipped_folder().glob("*.toml"), key=lambda path: (path.stem != "quickstart", path.stem)
    ):
        found.append((path.stem, str(tomllib.loads(path.read_text(encoding="utf-8")).get("description", ""))))
    return found


def find_recipe(name: str | Path) -> Path:
    """The file a person means: a path, or the bare name of a shipped recipe. Raises NotFound."""
    path = Path(name)
    if path.exists() or path.suffix == ".toml" or len(path.parts) > 1:
        if not path.exists():
            raise NotFound(
                "there is no such recipe", file=path, fix="`workbench recipes` lists the shipped ones"
            )
        return path.absolute()
    shipped = shipped_folder() / f"{path}.toml"
    if shipped.is_file():
        return shipped
    names = [known for known, _ in shipped_recipes()]
    raise NotFound(
        f"no recipe is called {str(name)!r}", fix=f"give a .toml file, or one of: {', '.join(names)}"
    )


def load_recipe(
    name: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    start: Mapping[str, str] | None = None,
    text: str | None = None,
) -> LoadedRecipe:
    """Read and check a recipe. Raises NotFound, or RecipeError with every problem and its line.

    start: keys of a [start] that takes the place of the recipe's own, of [model] and of [tokenizer].
    text: a draft that is not saved, checked instead of what the file holds.
    """
    path = find_recipe(name)
    text = _read(path) if text is None else text
    values = _parse(path, text)
    lines = key_lines(text)
    overrides = {key: _override_value(value) for key, value in (overrides or {}).items()}
    if start is not None:
        values["start"] = dict(start)
        for table in ("model", "tokenizer"):
            values.pop(table, None)
    problems = _apply(overrides, values)
    derived = derive_from_depth(values)
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        problems += [problem_of(path, lines, overrides, dict(one)) for one in error.errors()]
        raise RecipeError(_capped(path, problems)) from None
    loaded = LoadedRecipe(recipe, path, text, overrides, lines, start or {}, derived)
    problems += [
        BadInput(message, file=path, line=line_of(lines, table, key), fix=fix)
        for table, key, message, fix in _cross_checks(recipe)
    ]
    if problems:
        raise RecipeError(_capped(path, problems))
    return loaded


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """`["pretrain.tokens=2M"]` -> `{"pretrain.tokens": "2M"}`. Raises BadInput."""
    parsed: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+){0,2}", key.strip()):
            raise BadInput(
                f"--set {assignment!r} is not TABLE.KEY=VALUE",
                fix="write for example --set pretrain.tokens=2M",
            )
        parsed[key.strip()] = value.strip()
    return parsed


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            raise BadInput("is not a regular file", file=path, fix="give a .toml file")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(
            f"cannot be read: {error.strerror}", file=path, fix="check the path and its permissions"
        ) from None
    if len(data) > MAX_BYTES:
        raise BadInput(
            f"is larger than {MAX_BYTES // 1000} kB",
            file=path,
            fix="a recipe is a short text; is this a data file?",
        )
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput("is not UTF-8 text", file=path, line=line, fix="save the recipe as UTF-8") from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    for number, line in enumerate(text.split("\n"), start=1):
        # tomllib takes quadratic time over dotted keys; no recipe needs more than one dot.
        if _ENDLESS_NUMBER.search(line):
            raise BadInput(
                "has a number too long to be one", file=path, line=number, fix="write a shorter number"
            )
        if line.count(".") >= 16 and _MANY_DOTS.search(_STRING.sub("", line)):
            raise BadInput(
                "has a key with too many dots",
                file=path,
                line=number,
                fix="write keys as in recipes/quickstart.toml",
            )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        if str(error).startswith(("Cannot overwrite", "Cannot declare")) and (twice := _told_twice(text)):
            label, first, second = twice
            raise BadInput(
                f"{label} is there twice, first on line {first}",
                file=path,
                line=second,
                fix="keep one of them",
            ) from None
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        message = re.sub(r"\s*\(at .*\)$", "", str(error))
        number = int(found[1]) if found else text.count("\n") + 1
        raise BadInput(f"is not TOML: {message}", file=path, line=number, fix="correct the line") from None
    except (RecursionError, ValueError) as error:
        raise BadInput(
            f"is not a recipe: {type(error).__name__}",
            file=path,
            line=1,
            fix="write it as in recipes/quickstart.toml",
        ) from None


def _key_lines(text: str) -> Iterator[tuple[str, int]]:
    """`TABLE` and `TABLE.KEY` with the line each is written on."""
    table = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _HEADER.match(line):
            table = header[1]
            yield table, number
        elif key := _KEY.match(line):
            yield (f"{table}.{key[1]}" if table else key[1]), number


def key_lines(text: str) -> dict[str, int]:
    """`TABLE` and `TABLE.KEY` with the line that each is written on."""
    return dict(_key_lines(text))


def _told_twice(text: str) -> tuple[str, int, int] | None:
    """The first table or key that is written twice, as a person reads it, and both its lines."""
    seen: dict[str, int] = {}
    for name, line in _key_lines(text):
        if name in seen:
            table, _, key = name.rpartition(".")
            label = f"[{name}]" if name in tables() else f"[{table}] {key}" if table else key
            return label, seen[name], line
        seen[name] = line
    return None


def _override_value(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return value


def _apply(overrides: Mapping[str, Any], values: dict[str, Any]) -> list[BadInput]:
    problems = []
    known = all_tables()
    for name, value in overrides.items():
        table, _, key = name.rpartition(".")
        outer, _, inner = table.partition(".")
        if not table and key in Recipe.model_fields and key not in known:
            values[key] = value
        elif table in known and isinstance(values.get(outer, {}), dict):
            if outer not in values and outer != "model":
                problems.append(
                    BadInput(
                        f"--set {name}: the recipe has no [{outer}]", fix="add the table to the recipe first"
                    )
                )
                continue
            target = values.setdefault(outer, {})
            if inner:
                target = target.setdefault(inner, {})
            if isinstance(target, dict):  # what is none is told of with the rest of the recipe
                target[key] = value
        else:
            problems.append(
                BadInput(f"--set {name}: [{table or key}] is not a table", fix=nearest(table or key, known))
            )
    return problems


def _capped(path: Path, problems: list[BadInput]) -> list[BadInput]:
    problems = sorted(problems, key=lambda problem: problem.line or 0)
    if len(problems) <= MAX_PROBLEMS:
        return problems
    return [
        *problems[:MAX_PROBLEMS],
        BadInput(f"and {len(problems) - MAX_PROBLEMS} more problems", file=path),
    ]


def _cross_checks(recipe: Recipe) -> Iterator[tuple[str, str, str, str]]:
    """(table, key, what, what to do) for values that are each right but cannot be together."""
    model = recipe.model or Model()
    longest = model.max_position_embeddings
    for name in ("pretrain", "sft", "dpo"):
        table = getattr(recipe, name)
        if recipe.start is None and table is not None and table.context_length > longest:
            yield (
                name,
                "context_length",
                f"[{name}] context_length = {table.context_length} is more than "
                f"[model] max_position_embeddings = {longest}",
                "lower one or raise the other",
            )
    vocab_size = (recipe.tokenizer or Tokenizer()).vocab_size
    if model.initializer == "bigrams" and vocab_size > MOST_BIGRAM_VOCABULARY:
        yield (
            "model",
            "initializer",
            f'[model] initializer = "bigrams" is for at most {MOST_BIGRAM_VOCABULARY:,} tokens, '
            f"[tokenizer] vocab_size = {vocab_size:,}",
            'lower vocab_size or write initializer = "zero-residual"',
        )
    if recipe.start is not None and recipe.start.state == "training" and recipe.pretrain is None:
        yield (
            "start",
            "state",
            '[start] state = "training" needs [pretrain]',
            'add it, or write state = "weights"',
        )
    for name in ("model", "tokenizer"):
        if recipe.start is not None and getattr(recipe, name) is not None:
            yield (
                name,
                "",
                f"[{name}] and [start] exclude each other",
                f"leave [{name}] out: the start has its own",
            )
    if recipe.pretrain is not None and recipe.corpus is not None:
        for key, what, fix in recipe.pretrain.mixture_problems(recipe.corpus.sources):
            yield "pretrain", key, f"[pretrain] {key} {what}", fix
    needs = {
        "tokenizer": ("corpus",),
        "pack": ("tokenizer", "start"),
        "pretrain": ("pack",),
        "sft": ("pretrain", "start"),
        "dpo": ("pretrain", "start"),
        "eval": ("pretrain", "start"),
    }
    for name, either in needs.items():
        if getattr(recipe, name) is not None and all(getattr(recipe, need) is None for need in either):
            tables = " or ".join(f"[{need}]" for need in either)
            yield name, "", f"[{name}] needs {tables}", f"add a [{either[0]}] table"
    if recipe.pack is not None and recipe.corpus is None and recipe.tokenizer is None:
        yield "pack", "", "[pack] needs [corpus]", "add a [corpus] table"
