"""Rules, one a file: each module of a package of rules is one, named as its file, and found by import."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Generic, TypeVar

C = TypeVar("C", bound=Callable[..., Any])


@dataclass(frozen=True)
class Rule(Generic[C]):
    """A rule: its check, the first line of its docstring, and its module, which may say more of it."""

    name: str
    check: C
    summary: str
    module: ModuleType


def load_rules(package: ModuleType) -> dict[str, Rule[Any]]:
    """The rules of a package by name (with hyphens for underscores), in the order of the names. Each module has a `check`."""
    found: dict[str, Rule[Any]] = {}
    for file in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        module = import_module(f"{package.__name__}.{file}")
        name = file.replace("_", "-")
        found[name] = Rule(name, module.check, (module.__doc__ or "").partition("\n")[0], module)
    return found
