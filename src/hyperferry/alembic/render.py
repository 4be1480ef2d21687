"""The operations as code of a revision."""

from __future__ import annotations

import inspect
from typing import Any

from .base import TableOperation

_registered = False


def register() -> None:
    """Tells Alembic how the operations are written down. Not while Alembic is being imported."""
    global _registered
    if not _registered:
        from alembic.autogenerate import renderers

        renderers.dispatch_for(TableOperation)(_of_autogenerate)
        _registered = True


def code(operation: TableOperation, prefix: str = "op.") -> str:
    """The call that makes the operation, with every argument that is not what it is without."""
    call = getattr(type(operation), operation.name)
    arguments: list[str] = []
    for parameter in list(inspect.signature(call).parameters.values())[1:]:
        value: Any
        if parameter.name in ("table_name", "view_name"):
            value = operation.table_name
        elif parameter.name == "schema":
            value = operation.schema
        else:
            value = operation.given.get(parameter.name, parameter.default)
        if parameter.default is parameter.empty:
            arguments.append(repr(value))
        elif value != parameter.default:
            arguments.append(f"{parameter.name}={value!r}")
    return f"{prefix}{operation.name}({', '.join(arguments)})"


def _of_autogenerate(context: Any, operation: TableOperation) -> str:
    context.imports.add("import hyperferry.alembic  # noqa: F401")
    return code(operation, context.opts.get("alembic_module_prefix") or "op.")
