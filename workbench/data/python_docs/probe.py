"""What compiled modules say about themselves, as JSON on stdout: run as a script in a short-lived process.

Compiled modules have no source to parse; their documentation exists only inside the loaded object.
`native.py` runs this file with `python -I -S` and a fixed list of standard-library names, so that nothing is
imported into the process that asks and no code of the user or of site-packages runs. Imports the standard
library only.
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import json
import sys
import types
from collections.abc import Iterator
from typing import Any, TypedDict

ROUTINES = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    staticmethod,
    classmethod,
)
FIELDS = (types.GetSetDescriptorType, types.MemberDescriptorType, property)


class Record(TypedDict):
    """One documented object: its dotted path inside `module` ("" is the module itself)."""

    module: str
    path: str
    kind: str
    signature: str
    doc: str


def describe(module_name: str) -> Iterator[Record]:
    """The module, its functions and its classes with their public members; nothing if it cannot be imported.

    `module_name` may also be `module:Class`, for a compiled class inside a module written in Python.
    """
    module_name, _, only = module_name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return  # not built on this platform
    if not only:
        yield record(module_name, "", "module", module)
    for name, value in sorted(vars(module).items()):
        if (only and name != only) or name.startswith("_"):
            continue
        if value is getattr(builtins, name, None) and module is not builtins:
            continue  # `io` shows OSError, which belongs to builtins
        if isinstance(value, types.BuiltinFunctionType):
            yield record(module_name, name, "function", value)
        elif isinstance(value, type):
            yield record(module_name, name, "class", value)
            yield from describe_members(module_name, name, value)


def describe_members(module_name: str, class_name: str, owner: type) -> Iterator[Record]:
    """The public methods and properties that `owner` defines itself."""
    for name, value in sorted(vars(owner).items()):
        if name.startswith("_"):
            continue
        if isinstance(value, ROUTINES):
            yield record(module_name, f"{class_name}.{name}", "method", getattr(owner, name))
        elif isinstance(value, FIELDS):
            yield record(module_name, f"{class_name}.{name}", "property", value)


def record(module_name: str, path: str, kind: str, value: Any) -> Record:
    """What `value` says about itself; the empty string where it says nothing."""
    doc = getattr(value, "__doc__", None)
    signature = getattr(value, "__text_signature__", None)
    return {
        "module": module_name,
        "path": path,
        "kind": kind,
        "signature": signature if isinstance(signature, str) else "",
        "doc": inspect.cleandoc(doc) if isinstance(doc, str) else "",
    }


if __name__ == "__main__":
    json.dump([found for name in sys.argv[1:] for found in describe(name)], sys.stdout)
