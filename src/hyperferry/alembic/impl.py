"""How the operations run: the same text online and in a script."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import sqlalchemy
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from ..errors import HyperferryError
from . import policies as policies  # registers its operations
from .base import TableOperation
from .ops import CreateHypertableIndexOp, DropHypertableIndexOp
from .statements import alone

_log = logging.getLogger("hyperferry.alembic")
_SAYS = "hyperferry: "


def register() -> None:
    """Tells Alembic what runs for each of the operations."""
    Operations.implementation_for(TableOperation)(run)


def run(operations: Operations, operation: TableOperation) -> None:
    """Runs the operation, or writes it into the script. Raises CommandError, without a trace, for what a statement of ours
    refuses and for arguments that cannot be."""
    context = operations.get_context()
    if context.dialect.name != "postgresql":
        _elsewhere(operations, operation, context.dialect.name)
        return
    per_chunk = isinstance(operation, CreateHypertableIndexOp) and operation.given.get("per_chunk")
    if per_chunk and not context.as_sql and not _autocommit(operations):
        raise CommandError(
            f"{operation.given['index_name']}: an index per chunk cannot be made within a transaction. "
            "Put it into: with op.get_context().autocommit_block():"
        )
    try:
        if per_chunk and context.as_sql:
            operations.execute(verbatim(alone(operation.given["index_name"])))
        for statement in operation.statements():
            operations.execute(verbatim(statement))
    except HyperferryError as error:
        raise CommandError(str(error)) from None
    except ValueError as error:
        raise CommandError(f"{operation.name} of {operation.table_name}: {error}") from None
    except DBAPIError as error:
        _explained(error)


def verbatim(statement: str) -> sqlalchemy.TextClause:
    """The statement as it stands: no colon in it begins a parameter."""
    return sqlalchemy.text(statement.replace(":", "\\:"))


def _autocommit(operations: Operations) -> bool:
    return operations.get_bind().get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def _explained(error: DBAPIError) -> NoReturn:
    """What one of our blocks said, with what to do; anything else as it is."""
    message, hint = _said(error.orig)
    if not message.startswith(_SAYS):
        raise error
    raise CommandError(message + (f"\n{hint}" if hint else "")) from None


def _said(error: Any) -> tuple[str, str | None]:
    """The server's message and hint, as psycopg and psycopg2 give them, and as asyncpg does, whose error stands behind
    SQLAlchemy's."""
    if (diag := getattr(error, "diag", None)) is not None:
        return diag.message_primary or "", diag.message_hint
    behind = getattr(error, "__cause__", None)
    return getattr(behind, "message", None) or "", getattr(behind, "hint", None)


def _elsewhere(operations: Operations, operation: TableOperation, dialect: str) -> None:
    """Another database than PostgreSQL: an index is an index there, and the rest is nothing."""
    given = operation.given
    if isinstance(operation, CreateHypertableIndexOp):
        columns = [column if column.isidentifier() else verbatim(column) for column in given["columns"]]
        operations.create_index(
            given["index_name"],
            operation.table_name,
            columns,
            schema=operation.schema,
            unique=bool(given.get("unique")),
        )
    elif isinstance(operation, DropHypertableIndexOp):
        operations.drop_index(given["index_name"], table_name=operation.table_name, schema=operation.schema)
    else:
        _log.info("%s of %s: nothing to do on %s", operation.name, operation.table_name, dialect)
