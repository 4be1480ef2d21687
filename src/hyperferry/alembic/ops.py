"""The operations as revisions call them (`op.create_hypertable(...)`), each with its reverse.

On another database than PostgreSQL they do nothing, so that unit tests on SQLite can run the same revisions; an index is
made there as a plain one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alembic.operations import MigrateOperation, Operations

from . import statements
from .base import TableOperation
from .statements import LOCK_TIMEOUT, MOST_ROWS, Guard, Interval


@Operations.register_operation("create_hypertable")
class CreateHypertableOp(TableOperation):
    """Makes a table a hypertable in place."""

    name = "create_hypertable"

    @classmethod
    def create_hypertable(
        cls,
        operations: Operations,
        table_name: str,
        time: str,
        *,
        schema: str | None = None,
        chunk_interval: Interval | None = None,
        primary_key: Sequence[str] | None = None,
        default_indexes: bool = False,
        max_rows: int = MOST_ROWS,
        lock_timeout: str = LOCK_TIMEOUT,
    ) -> Any:
        """Make a table a hypertable by the column `time`, in place: it is blocked while its rows are moved.

        So a table of more than `max_rows` rows is refused, unless FORCE_<TABLE>_HT=1 is in the environment (in a script: a
        setting of the session) or the database approves (`hyperferry flag on --name FORCE_<TABLE>_HT`); see `require_rollout`. A
        table that is a hypertable by that column already is left as it is. `primary_key`: the columns that the primary key
        is to have, the time among them, as TimescaleDB wants it. `default_indexes`: TimescaleDB's own index on the time. The
        reverse makes it a plain table again.
        """
        return operations.invoke(
            cls(
                table_name,
                schema,
                time=time,
                chunk_interval=chunk_interval,
                primary_key=primary_key,
                default_indexes=default_indexes,
                max_rows=max_rows,
                lock_timeout=lock_timeout,
            )
        )

    def statements(self) -> tuple[str, ...]:
        """What is run."""
        given = dict(self.given)
        guard = Guard(given.pop("max_rows", MOST_ROWS))
        return (statements.create_hypertable(self.table, given.pop("time"), guard=guard, **given),)

    def reverse(self) -> MigrateOperation:
        """The plain table."""
        again = {key: value for key, value in self.given.items() if key in ("max_rows", "lock_timeout")}
        return RevertHypertableOp(self.table_name, self.schema, **again)


@Operations.register_operation("revert_hypertable")
class RevertHypertableOp(TableOperation):
    """Makes a hypertable a plain table."""

    name = "revert_hypertable"

    @classmethod
    def revert_hypertable(
        cls,
        operations: Operations,
        table_name: str,
        *,
        schema: str | None = None,
        max_rows: int = MOST_ROWS,
        lock_timeout: str = LOCK_TIMEOUT,
    ) -> Any:
        """Make a hypertable a plain table again: its rows are copied, keys, indexes, statistics, grants and comments made anew.

        Refused where views, triggers, policies, others' keys, publications or aggregates hang on it, which it names, where row
        security may hide rows from this role, and for more
        than `max_rows` rows as in `create_hypertable`. A plain table, or none, is left as it is. A key that was widened
        stays wide.
        """
        return operations.invoke(cls(table_name, schema, max_rows=max_rows, lock_timeout=lock_timeout))

    def statements(self) -> tuple[str, ...]:
        """What is run."""
        guard = Guard(self.given.get("max_rows", MOST_ROWS))
        return (
            statements.revert_hypertable(
                self.table, guard=guard, lock_timeout=self.given.get("lock_timeout", LOCK_TIMEOUT)
            ),
        )


@Operations.register_operation("set_chunk_interval")
class SetChunkIntervalOp(TableOperation):
    """The width of chunks to come."""

    name = "set_chunk_interval"

    @classmethod
    def set_chunk_interval(
        cls,
        operations: Operations,
        table_name: str,
        interval: Interval,
        *,
        schema: str | None = None,
        existing: Interval | None = None,
    ) -> Any:
        """Set the width of the chunks that are made from now on; those that are there keep theirs.

        `existing`: what it was, for the reverse.
        """
        return operations.invoke(cls(table_name, schema, interval=interval, existing=existing))

    def statements(self) -> tuple[str, ...]:
        """What is run."""
        return (statements.set_chunk_interval(self.table, self.given["interval"]),)

    def reverse(self) -> MigrateOperation:
        """The width that was."""
        if self.given.get("existing") is None:
            raise NotImplementedError(
                f"the chunk interval that {self.table_name} had is not known: give it as existing="
            )
        return SetChunkIntervalOp(
            self.table_name, self.schema, interval=self.given["existing"], existing=self.given["interval"]
        )


@Operations.register_operation("create_hypertable_index")
class CreateHypertableIndexOp(TableOperation):
    """An index on a hypertable."""

    name = "create_hypertable_index"

    @classmethod
    def create_hypertable_index(
        cls,
        operations: Operations,
        index_name: str,
        table_name: str,
        columns: Sequence[str],
        *,
        schema: str | None = None,
        unique: bool = False,
        using: str | None = None,
        include: Sequence[str] = (),
        where: str | None = None,
        per_chunk: bool = False,
    ) -> Any:
        """Make an index on a hypertable, unless a valid one of that name is there. CONCURRENTLY is impossible there.

        `columns`: names, expressions in parentheses, or either with what may follow it ('game_date DESC'). Writers wait
        while it is built. With `per_chunk` they wait for one chunk at a time (up to TimescaleDB 2.28 an UPDATE or DELETE
        waits for all), and it has to stand in `with op.get_context().autocommit_block():`. For a large table that is in use:
        `[[index]]` in hyperferry.toml and `hyperferry apply`.
        """
        return operations.invoke(
            cls(
                table_name,
                schema,
                index_name=index_name,
                columns=columns,
                unique=unique,
                using=using,
                include=include,
                where=where,
                per_chunk=per_chunk,
            )
        )

    def statements(self) -> tuple[str, ...]:
        """What is run."""
        given = dict(self.given)
        return statements.create_index(given.pop("index_name"), self.table, given.pop("columns"), **given)

    def reverse(self) -> MigrateOperation:
        """Without it."""
        return DropHypertableIndexOp(self.table_name, self.schema, **self.given)


@Operations.register_operation("drop_hypertable_index")
class DropHypertableIndexOp(TableOperation):
    """An index goes."""

    name = "drop_hypertable_index"

    @classmethod
    def drop_hypertable_index(
        cls,
        operations: Operations,
        index_name: str,
        table_name: str,
        *,
        schema: str | None = None,
        columns: Sequence[str] | None = None,
        unique: bool = False,
        using: str | None = None,
        include: Sequence[str] = (),
        where: str | None = None,
    ) -> Any:
        """Drop an index, with those of the chunks, where it is there. `columns` and the rest are for the reverse."""
        return operations.invoke(
            cls(
                table_name,
                schema,
                index_name=index_name,
                columns=columns,
                unique=unique,
                using=using,
                include=include,
                where=where,
            )
        )

    def statements(self) -> tuple[str, ...]:
        """What is run."""
        return (statements.drop_index(self.given["index_name"], self.schema),)

    def reverse(self) -> MigrateOperation:
        """The index again."""
        if not self.given.get("columns"):
            raise NotImplementedError(
                f"the columns of {self.given['index_name']} are not known: give them as columns="
            )
        return CreateHypertableIndexOp(self.table_name, self.schema, **self.given)


@Operations.register_operation("require_rollout")
class RequireRolloutOp(TableOperation):
    """A revision that waits for an online rollout."""

    name = "require_rollout"

    @classmethod
    def require_rollout(
        cls,
        operations: Operations,
        table_name: str,
        phase: str = "cut_over",
        *,
        schema: str | None = None,
        time: str | None = None,
        chunk_interval: Interval | None = None,
        primary_key: Sequence[str] | None = None,
        max_rows: int = MOST_ROWS,
    ) -> Any:
        """Fail unless the online rollout of the table has come to this phase (planned, prepared, copying, synced, cut_over,
        finished), instead of rewriting hours of data within `upgrade()`. A hypertable has come to cut_over, however it
        became one.

        With `time`, a database that has no rollout and few rows (a developer's, CI's) makes the table a hypertable in place, as
        `create_hypertable` does; a larger one is told to use the rollout. The reverse does nothing: the way back is
        `hyperferry rollback`.
        """
        return operations.invoke(
            cls(
                table_name,
                schema,
                phase=phase,
                time=time,
                chunk_interval=chunk_interval,
                primary_key=primary_key,
                max_rows=max_rows,
            )
        )

    def statements(self) -> tuple[str, ...]:
        """What is run."""
        given = dict(self.given)
        time = given.get("time")
        required = statements.require_rollout(
            self.table, given.get("phase", "cut_over"), or_small=time is not None
        )
        if time is None:
            return (required,)
        return (
            required,
            statements.create_hypertable(
                self.table,
                time,
                chunk_interval=given.get("chunk_interval"),
                primary_key=given.get("primary_key"),
                guard=Guard(given.get("max_rows", MOST_ROWS)),
            ),
        )

    def reverse(self) -> MigrateOperation:
        """The same: nothing is undone, and the table has to be as it was found."""
        return RequireRolloutOp(self.table_name, self.schema, **self.given)
