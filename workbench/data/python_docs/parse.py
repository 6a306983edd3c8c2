"""Python source to documented symbols, by `ast` alone: nothing that is read here is ever imported or run.

Knows one file at a time; which files there are, public names and the split are `symbols.py`'s.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.data.python_docs.summary import split_signature, summarize

MAX_SIGNATURE = 300
"""Longer argument lists are tables in disguise; they are cut after the last argument that fits."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Symbol:
    """One thing of Python that has a name and, mostly, documentation."""

    name: str
    """As people write it: `shutil.copytree`, `pathlib.Path.mkdir`, `len`."""
    module: str
    """Where it lives: `shutil`, `builtins`."""
    kind: str
    """module, class, function, method or property."""
    signature: str
    """`copytree(src, dst)`; "" if unknown."""
    doc: str
    """The docstring without its indentation and without a signature at its head."""
    summary: str
    """Its first sentence on one line; "" where there is no clean one."""
    group: str
    """The module-level name it belongs to, `pathlib.Path` for its methods. A group is held out whole."""
    is_everyday: bool = False
    """Among the names most programs use (everyday.py); never held out."""
    heldout: bool = False
    """Never trained on, only measured with."""

    @classmethod
    def make(cls, *, module: str, path: str, kind: str, arguments: str, doc: str) -> Symbol:
        """The symbol at dotted `path` in `module`, "" for the module itself; `arguments` like "(a, b=1)"."""
        name = qualified(module, path)
        last_name = name.rpartition(".")[2]
        written, rest = split_signature(doc, last_name) if path else ("", doc)
        arguments = arguments or written
        return cls(
            name=name,
            module=module,
            kind=kind,
            signature=f"{last_name}{arguments}" if arguments else "",
            doc=rest,
            summary=summarize(rest),
            group=qualified(module, path.partition(".")[0]),
        )

    @property
    def is_public(self) -> bool:
        """Whether no part of the name begins with an underscore."""
        return not any(part.startswith("_") for part in self.name.split("."))

    @property
    def full_signature(self) -> str:
        """The signature under the full name: `shutil.copytree(src, dst)`; "" if unknown."""
        return f"{self.name}{self.signature[self.signature.index('(') :]}" if self.signature else ""


@dataclass(frozen=True, slots=True)
class Alias:
    """`choice = _inst.choice`: another name for a symbol of the same module (path in the module)."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class ParsedModule:
    """What one file says: its symbols, other names for them, and which names it passes on to its users."""

    name: str
    symbols: list[Symbol]
    aliases: list[Alias]
    exports: frozenset[str]
    star_imports: tuple[str, ...]


def qualified(module: str, path: str) -> str:
    """The name people write for `path` in `module`: builtins go without their module."""
    if not path:
        return module
    return path if module == "builtins" else f"{module}.{path}"


def parse_file(path: Path, *, module: str, is_package: bool = False) -> ParsedModule | None:
    """What the source file `path` of `module` documents; None if this Python cannot parse it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes are not our news
            tree = ast.parse(path.read_bytes())
        return ParsedModule(
            name=module,
            symbols=list(_module_symbols(tree, module)),
            aliases=list(_aliases(tree)),
            exports=frozenset(_exports(tree)),
            star_imports=tuple(_star_imports(tree, module if is_package else module.rpartition(".")[0])),
        )
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # not readable, not this version's Python, or nested beyond what the parser can bear


def renamed(symbol: Symbol, *, module: str, path: str) -> Symbol:
    """`symbol` as it is called from `module`."""
    name = qualified(module, path)
    return dataclasses.replace(
        symbol, name=name, module=module, group=qualified(module, path.partition(".")[0])
    )


def path_in_module(symbol: Symbol) -> str:
    """The dotted path inside its module: `Path.mkdir` of `pathlib.Path.mkdir`."""
    return symbol.name if symbol.module == "builtins" else symbol.name[len(symbol.module) + 1 :]


# -- walking a tree ----------------------------------------------------------------------------------


def _module_symbols(tree: ast.Module, module: str) -> Iterator[Symbol]:
    if doc := ast.get_docstring(tree):
        yield Symbol.make(module=module, path="", kind="module", arguments="", doc=doc)
    yield from _body_symbols(tree, module, prefix="")


def _body_symbols(owner: ast.Module | ast.ClassDef, module: str, *, prefix: str) -> Iterator[Symbol]:
    """Definitions in the body of `owner`, and in the classes in it. A name defined twice comes twice."""
    for node in _statements(owner.body):
        if isinstance(node, ast.ClassDef):
            yield Symbol.make(
                module=module,
                path=prefix + node.name,
                kind="class",
                arguments=_class_arguments(node),
                doc=ast.get_docstring(node) or "",
            )
            yield from _body_symbols(node, module, prefix=f"{prefix}{node.name}.")
        elif isinstance(node, Function):
            doc = ast.get_docstring(node) or ""
            # Without a docstring the signature is all there is to say, and worth it only for public names.
            if doc or not node.name.startswith("_"):
                yield _function_symbol(node, module, prefix + node.name, doc, in_class=bool(prefix))


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body and of its top-level `if`, `try` and `with` blocks."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handled = [inner for handler in node.handlers for inner in handler.body]
            yield from _statements([*node.body, *handled, *node.orelse, *node.finalbody])
        elif isinstance(node, ast.With):
            yield from _statements(node.body)


def _function_symbol(node: Function, module: str, path: str, doc: str, *, in_class: bool) -> Symbol:
    decorators = {_last_word(decorator) for decorator in node.decorator_list}
    if not in_class:
        return Symbol.make(module=module, path=path, kind="function", arguments=_arguments(node), doc=doc)
    if decorators & {"property", "cached_property", "setter", "abstractproperty"}:
        return Symbol.make(module=module, path=path, kind="property", arguments="", doc=doc)
    arguments = _arguments(node, drop_first="staticmethod" not in decorators)
    return Symbol.make(module=module, path=path, kind="method", arguments=arguments, doc=doc)


def _last_word(node: ast.expr) -> str:
    """`property` of `@property`, `setter` of `@x.setter`, `lru_cache` of `@functools.lru_cache()`."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _class_arguments(node: ast.ClassDef) -> str:
    """The arguments of the constructor the class itself defines; "" without one."""
    for name in ("__init__", "__new__"):
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and inner.name == name:
                return _arguments(inner, drop_first=True)
    return ""


def _arguments(node: Function, *, drop_first: bool = False) -> str:
    arguments = node.args
    if drop_first:  # self or cls: the caller does not write it
        if arguments.posonlyargs:
            arguments.posonlyargs = arguments.posonlyargs[1:]
        else:
            arguments.args = arguments.args[1:]
    text = ast.unparse(arguments)
    if len(text) > MAX_SIGNATURE:
        text = text[:MAX_SIGNATURE].rpartition(", ")[0] + ", ..."
    return f"({text})"


def _aliases(tree: ast.Module) -> Iterator[Alias]:
    """Public module-level names for a method of a module-level instance, or for another name."""
    instances: dict[str, str] = {}
    for node in tree.body:
        if not (
            isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        ):
            continue
        name, value = node.targets[0].id, node.value
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            instances[name] = value.func.id
        elif name.startswith("_"):
            continue
        elif isinstance(value, ast.Name):
            yield Alias(path=name, target=value.id)
        elif (
            isinstance(value, ast.Attribute)
            and isinstance(value.value, ast.Name)
            and value.value.id in instances
        ):
            yield Alias(path=name, target=f"{instances[value.value.id]}.{value.attr}")


_IDENTIFIER = re.compile(r"^[^\W\d]\w*$")


def _exports(tree: ast.Module) -> Iterator[str]:
    """The names written as strings in `__all__ = [...]` and `__all__ += [...]`."""
    for node in tree.body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AugAssign)
            else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            for leaf in ast.walk(node):
                if (
                    isinstance(leaf, ast.Constant)
                    and isinstance(leaf.value, str)
                    and _IDENTIFIER.match(leaf.value)
                ):
                    yield leaf.value


def _star_imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Absolute names of the modules of which everything is imported."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any(name.name == "*" for name in node.names):
            if not node.level:
                yield node.module or ""
                continue
            parts = package.split(".")
            parent = ".".join(parts[: len(parts) - node.level + 1])
            yield f"{parent}.{node.module}" if node.module else parent
