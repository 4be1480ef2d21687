"""The operations about policies and aggregates, as revisions call them (`op.add_retention(...)`), each with its reverse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from alembic.operations import MigrateOperation, Operations

from ..declared.parse import order
from . import statements
from .base import TableOperation
from .declared import of_file
from .statements import Interval


@Operations.register_operation("add_compression")
class AddCompressionOp(TableOperation):
    """Compression, and its policy."""

    name = "add_compression"

    @classmethod
    def add_compression(
        cls,
        operations: Operations,
        table_name: str,
        *,
        schema: str | None = None,
        segment_by: Sequence[str] | None = None,
        order_by: Sequence[str] | None = None,
        after: Interval | Literal[False] | None = None,
        existing: Mapping[str, Any] | None = None,
        skip_on_apache: bool = False,
    ) -> Any:
        """Say how chunks are compressed (`order_by`: 'game_date DESC'), and have a policy compress those of the age `after`.
        What is not said TimescaleDB chooses; `segment_by=[]` is no segments at all, `after=False` no policy.

        Community edition; with `skip_on_apache` it is left out, with a notice, where the edition has none. It compresses
        nothing by itself. The reverse takes the policy away, and compression too where no chunk is compressed; with
        `existing`, how it was (`{"segment_by": ..., "order_by": ..., "after": ...}`), it is brought back to that.
        """
        return operations.invoke(
            cls(
                table_name,
                schema,
                segment_by=segment_by,
                order_by=order_by,
                after=after,
                existing=existing,
                skip_on_apache=skip_on_apache,
            )
        )

    def statements(self) -> tuple[str, ...]:
        """What is run."""
        given = {key: value for key, value in self.given.items() if key != "existing"}
        order_by = given.pop("order_by", None)
        after = given.pop("after", None)
        made = statements.add_compression(
            self.table,
            order_by=None if order_by is None else order(list(order_by)),
            after=None if after is False else after,
            **given,
        )
        return (made, statements.remove_policy(self.table, "compression")) if after is False else (made,)

    def reverse(self) -> MigrateOperation:
        """As it was; where that is not known, without it, as far as that goes."""
        given = {key: value for key, value in self.given.items() if key != "existing"}
        was = self.given.get("existing")
        if was is None:
            return RemoveCompressionOp(self.table_name, self.schema, **given)
        skip = {key: given.pop(key) for key in ("skip_on_apache",) if key in given}
        return AddCompressionOp(self.table_name, self.schema, **was, existing=given, **skip)


@Operations.register_operation("remove_compression")
class RemoveCompressionOp(TableOperation):
    """Compression goes, as far as it can."""

    name = "remove_compression"

    @classmethod
    def remove_compression(
        cls,
        operations: Operations,
        table_name: str,
        *,
        schema: str | None = None,
        segment_by: Sequence[str] | None = None,
        order_by: Sequence[str] | None = None,
        after: Interval | None = None,
        skip_on_apache: bool = False,
    ) -> Any:
        """Take the policy away, and compression too where no chunk is compressed; compressed chunks stay so, with a notice.

        The rest of the arguments is for the reverse.
        """
        return operations.invoke(
            cls(
                table_name,
                schema,
                segment_by=segment_by,
                order_by=order_by,
                after=after,
                skip_on_apache=skip_on_apache,
            )
        )

    def statements(self) -> tuple[str, ...]:
        """What is run."""
        return (statements.remove_compression(self.table),)

    def reverse(self) -> MigrateOperation:
        """Compression again."""
        if all(self.given.get(key) is None for key in ("segment_by", "order_by", "after")):
            raise NotImplementedError(
                f"how {self.table_name} was compressed is not known: give it as segment_by=, order_by=, after="
            )
        return AddCompressionOp(self.table_name, self.schema, **self.given)


@Operations.register_operation("add_retention")
class AddRetentionOp(TableOperation):
    """A policy that drops chunks."""

    name = "add_retention"

    @classmethod
    def add_retention(
        cls,
        operations: Operations,
        table_name: str,
        after: Interval,
        *,
        schema: str | None = None,
        existing: Interval | None = None,
        skip_on_apache: bool = False,
    ) -> Any:
        """Have a policy drop chunks of the age `after`, with their rows. Community edition, as in `add_compression`.

        `existing`: what the age was, for the reverse; without it the reverse takes the policy away. What was dropped does not
        come back by it.
        """
        return operations.invoke(
            cls(table_name, schema, after=after, existing=existing, skip_on_apache=skip_on_apache)
        )

    def statements(self) -> tuple[str, ...]:
        """What is run."""
        given = {key: value for key, value in self.given.items() if key != "existing"}
        return (statements.add_retention(self.table, **given),)

    def reverse(self) -> MigrateOperation:
        """The age that was; where that is not known, without it."""
        given = {key: value for key, value in self.given.items() if key != "existing"}
        was = self.given.get("existing")
        if was is None:
            return RemoveRetentionOp(self.table_name, self.schema, **given)
        return AddRetentionOp(
            self.table_name, self.schema, **{**given, "after": was, "existing": given["after"]}
        )


@Operations.register_operation("remove_retention")
class RemoveRetentionOp(TableOperation):
    """The policy goes."""

    name = "remove_retention"

    @classmethod
    def remove_retention(
        cls,
        operations: Operations,
        table_name: str,
        *,
        schema: str | None = None,
        after: Interval | None = None,
        skip_on_apache: bool = False,
    ) -> Any:
        """Take the policy away that drops chunks. `after` is for the reverse."""
        return operations.invoke(cls(table_name, schema, after=after, skip_on_apache=skip_on_apache))

    def statements(self) -> tuple[str, ...]:
        """What is run."""
        return (statements.remove_policy(self.table, "retention"),)

    def reverse(self) -> MigrateOperation:
        """The policy again."""
        if self.given.get("after") is None:
            raise NotImplementedError(
                f"the age at which chunks of {self.table_name} were dropped is not known: give it as after="
            )
        return AddRetentionOp(self.table_name, self.schema, **self.given)


@Operations.register_operation("create_continuous_aggregate")
class CreateContinuousAggregateOp(TableOperation):
    """A continuous aggregate."""

    name = "create_continuous_aggregate"

    @classmethod
    def create_continuous_aggregate(
        cls,
        operations: Operations,
        view_name: str,
        query: str,
        *,
        schema: str | None = None,
        materialized_only: bool | None = None,
        start_offset: Interval | None = None,
        end_offset: Interval | None = None,
        schedule: str | None = None,
        skip_on_apache: bool = False,
    ) -> Any:
        """Make a continuous aggregate of the query, empty, unless there is one of that name; with `schedule` a policy
        refreshes it, from `start_offset` to `end_offset` before now (None: without that bound). One that is there with
        another query is left as it is, with a notice.

        Community edition, as in `add_compression`. A refresh of everything belongs outside of revisions: `hyperferry apply`.
        """
        return operations.invoke(
            cls(
                view_name,
                schema,
                query=query,
                materialized_only=materialized_only,
                start_offset=start_offset,
                end_offset=end_offset,
                schedule=schedule,
                skip_on_apache=skip_on_apache,
            )
        )

    def statements(self) -> tuple[str, ...]:
        """What is run."""
        given = dict(self.given)
        skip = bool(given.get("skip_on_apache"))
        made = statements.create_continuous_aggregate(
            self.table, given["query"], materialized_only=given.get("materialized_only"), skip_on_apache=skip
        )
        if given.get("schedule") is None:
            return (made,)
        policy = statements.refresh_policy(
            self.table,
            start_offset=given.get("start_offset"),
            end_offset=given.get("end_offset"),
            schedule=given["schedule"],
            skip_on_apache=skip,
        )
        return (made, policy)

    def reverse(self) -> MigrateOperation:
        """Without it."""
        return DropContinuousAggregateOp(self.table_name, self.schema, **self.given)


@Operations.register_operation("drop_continuous_aggregate")
class DropContinuousAggregateOp(TableOperation):
    """An aggregate goes."""

    name = "drop_continuous_aggregate"

    @classmethod
    def drop_continuous_aggregate(
        cls,
        operations: Operations,
        view_name: str,
        *,
        schema: str | None = None,
        query: str | None = None,
        materialized_only: bool | None = None,
        start_offset: Interval | None = None,
        end_offset: Interval | None = None,
        schedule: str | None = None,
        skip_on_apache: bool = False,
    ) -> Any:
        """Drop a continuous aggregate where it is there, with its rows and its policies. `query` and the rest are for the
        reverse, which brings its rows back as far as the hypertable has them, by the next refresh."""
        return operations.invoke(
            cls(
                view_name,
                schema,
                query=query,
                materialized_only=materialized_only,
                start_offset=start_offset,
                end_offset=end_offset,
                schedule=schedule,
                skip_on_apache=skip_on_apache,
            )
        )

    def statements(self) -> tuple[str, ...]:
        """What is run."""
        return (statements.drop_continuous_aggregate(self.table),)

    def reverse(self) -> MigrateOperation:
        """The aggregate again."""
        if self.given.get("query") is None:
            raise NotImplementedError(f"the query of {self.table_name} is not known: give it as query=")
        return CreateContinuousAggregateOp(self.table_name, self.schema, **self.given)


@Operations.register_operation("apply_policies")
class ApplyPoliciesOp(TableOperation):
    """What hyperferry.toml declares."""

    name = "apply_policies"

    @classmethod
    def apply_policies(
        cls,
        operations: Operations,
        table_name: str,
        file: str | None = None,
        *,
        schema: str | None = None,
        skip_on_apache: bool = False,
    ) -> Any:
        """Bring about what hyperferry.toml (`file`; else HYPERFERRY_CONFIG in the environment, else ./hyperferry.toml)
        declares for the table: chunk interval, indexes, compression, continuous aggregates with their policies, retention.

        What the file does not mention is left alone, and what takes long (a first refresh) is left to the policies or to
        `hyperferry apply`. So is retention, with a notice, while there are rows that an aggregate was never made from: it
        would drop them first. It has no reverse: revisions before it may own the same things.
        """
        return operations.invoke(cls(table_name, schema, file=file, skip_on_apache=skip_on_apache))

    def statements(self) -> tuple[str, ...]:
        """What is run. Raises Usage for a file that is not there, is wrong, or is about another table; Refused for wishes in it
        that do not go together."""
        return of_file(
            self.table, self.given.get("file"), skip_on_apache=bool(self.given.get("skip_on_apache"))
        )

    def reverse(self) -> MigrateOperation:
        """There is none."""
        raise NotImplementedError(
            "apply_policies has no reverse: undo what belongs to the revision with its own operation"
        )
