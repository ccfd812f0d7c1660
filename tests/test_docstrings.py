"""Docstrings: every public name says in its first word what it does, and shows it with an example that is run."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re
from typing import Any

import pytest

import micrograd_like
from micrograd_like.ops import Operation

# Modules of their own, whose public names are those that they define; packages say theirs in __all__.
MODULES = ["data", "transformer"]
VERBS = (
    "Account Add Answer Apply Ask Build Check Collect Connect Convert Copy Compare Compile Compute Demand Describe Draw Evaluate Explain Export Find Follow Give "
    "Hold Invent Join Keep Let Link List Load Look Make Map Measure Move Name Pick Plot Print Put Raise Read Record Report Return Run "
    "Say Save Scale Score Set Share Show Split Spread Stack Start Step Tell Trace Train Try Turn Use Write"
)


def public_names() -> dict[str, Any]:
    """What users may import, by its full name; each thing once, under the shortest name."""
    packages = ["micrograd_like"]
    packages += [
        f"micrograd_like.{found.name}" for found in pkgutil.iter_modules(micrograd_like.__path__) if found.ispkg
    ]
    names: dict[str, Any] = {}
    for package in packages:
        module = importlib.import_module(package)
        names |= {f"{package}.{name}": getattr(module, name) for name in getattr(module, "__all__", ())}
    for name in MODULES:
        module = importlib.import_module(f"micrograd_like.{name}")
        own = {key: thing for key, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__}
        names |= {f"{module.__name__}.{key}": thing for key, thing in own.items() if not key.startswith("_")}
    known: set[int] = set()
    return {name: x for name, x in names.items() if not (id(x) in known or known.add(id(x)))}  # type: ignore[func-returns-value]


# A row of the table describes itself to the reference; __version__ is a text.
DESCRIBED = {name: thing for name, thing in public_names().items() if not isinstance(thing, (Operation, str))}


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_public_name_begins_with_what_it_does_and_has_an_example(name: str) -> None:
    thing = DESCRIBED[name]
    text = (
        inspect.cleandoc(vars(thing).get("__doc__") or "") if isinstance(thing, type) else inspect.getdoc(thing) or ""
    )
    first = text.split("\n\n")[0]
    assert first.split(" ")[0] in VERBS.split(), f"{name} begins {first[:60]!r}; expected a verb that says what it does"
    assert first.endswith((".", ":")), f"{name}: the first paragraph is no sentence: {first[-60:]!r}"
    examples = doctest.DocTestParser().get_examples(text)
    assert examples, f"{name} has no example"
    # A line that only prepares shows nothing.
    assert any(
        example.want or "assert " in example.source or "test(" in example.source or "assert_" in example.source
        for example in examples
    ), name


RECORDS = {
    name: thing
    for name, thing in DESCRIBED.items()
    if isinstance(thing, type) and (dataclasses.is_dataclass(thing) or hasattr(thing, "_fields"))
}


@pytest.mark.parametrize("name", RECORDS)
def test_each_field_of_a_record_is_explained(name: str) -> None:
    thing = RECORDS[name]
    fields = getattr(thing, "_fields", None) or [field.name for field in dataclasses.fields(thing)]
    section = inspect.cleandoc(vars(thing)["__doc__"]).partition("\nAttributes:\n")[2]
    explained = re.findall(r"^ {4}(\w+): \S", section, re.MULTILINE)
    assert explained == list(fields)
