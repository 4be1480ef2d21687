"""Each operation's reverse, and how both are written into a revision."""

from __future__ import annotations

from typing import Any

import pytest

from hyperferry.alembic import ops, policies
from hyperferry.alembic.render import code

GIVEN: list[tuple[Any, str, str]] = [
    (
        ops.CreateHypertableOp(
            "t", "s", time="at", chunk_interval=86_400, primary_key=["id", "at"], max_rows=5
        ),
        "op.create_hypertable('t', 'at', schema='s', chunk_interval=86400, primary_key=['id', 'at'], max_rows=5)",
        "op.revert_hypertable('t', schema='s', max_rows=5)",
    ),
    (
        ops.SetChunkIntervalOp("t", None, interval="1 day", existing="7 days"),
        "op.set_chunk_interval('t', '1 day', existing='7 days')",
        "op.set_chunk_interval('t', '7 days', existing='1 day')",
    ),
    (
        ops.CreateHypertableIndexOp("t", None, index_name="i", columns=["a", "b DESC"], where="a > 1"),
        "op.create_hypertable_index('i', 't', ['a', 'b DESC'], where='a > 1')",
        "op.drop_hypertable_index('i', 't', columns=['a', 'b DESC'], where='a > 1')",
    ),
    (
        policies.AddCompressionOp(
            "t", None, segment_by=["a"], order_by=["at DESC"], after="1 day", skip_on_apache=True
        ),
        "op.add_compression('t', segment_by=['a'], order_by=['at DESC'], after='1 day', skip_on_apache=True)",
        "op.remove_compression('t', segment_by=['a'], order_by=['at DESC'], after='1 day', skip_on_apache=True)",
    ),
    (
        policies.AddCompressionOp("t", None, segment_by=[]),
        "op.add_compression('t', segment_by=[])",
        "op.remove_compression('t', segment_by=[])",
    ),
    (
        policies.AddRetentionOp("t", None, after=100),
        "op.add_retention('t', 100)",
        "op.remove_retention('t', after=100)",
    ),
    (
        policies.AddRetentionOp("t", None, after="2 years", existing="30 days", skip_on_apache=True),
        "op.add_retention('t', '2 years', existing='30 days', skip_on_apache=True)",
        "op.add_retention('t', '30 days', existing='2 years', skip_on_apache=True)",
    ),
    (
        policies.AddCompressionOp(
            "t", None, segment_by=["a"], after="1 day", existing={"segment_by": [], "order_by": ["at DESC"], "after": False}
        ),
        "op.add_compression('t', segment_by=['a'], after='1 day', "
        "existing={'segment_by': [], 'order_by': ['at DESC'], 'after': False})",
        "op.add_compression('t', segment_by=[], order_by=['at DESC'], after=False, "
        "existing={'segment_by': ['a'], 'after': '1 day'})",
    ),
    (
        policies.CreateContinuousAggregateOp(
            "v", "s", query="SELECT\n1", end_offset="1 day", schedule="1 hour"
        ),
        "op.create_continuous_aggregate('v', 'SELECT\\n1', schema='s', end_offset='1 day', schedule='1 hour')",
        "op.drop_continuous_aggregate('v', schema='s', query='SELECT\\n1', end_offset='1 day', schedule='1 hour')",
    ),
    (
        ops.RequireRolloutOp("t", None, phase="synced", time="at"),
        "op.require_rollout('t', phase='synced', time='at')",
        "op.require_rollout('t', phase='synced', time='at')",
    ),
]


@pytest.mark.parametrize(("operation", "there", "back"), GIVEN, ids=lambda each: getattr(each, "name", ""))
def test_there_and_back(operation: Any, there: str, back: str) -> None:
    assert code(operation) == there
    assert code(operation.reverse()) == back
    if not isinstance(operation, ops.CreateHypertableOp):
        assert code(operation.reverse().reverse()) == there


@pytest.mark.parametrize(
    "operation",
    [
        ops.SetChunkIntervalOp("t", None, interval="1 day"),
        ops.DropHypertableIndexOp("t", None, index_name="i"),
        policies.RemoveCompressionOp("t", None, segment_by=None, order_by=None, after=None),
        ops.RevertHypertableOp("t", None),
        policies.RemoveRetentionOp("t", None),
        policies.DropContinuousAggregateOp("t", None),
        policies.ApplyPoliciesOp("t", None),
    ],
    ids=lambda each: each.name,
)
def test_what_cannot_be_undone_says_what_is_missing(operation: Any) -> None:
    with pytest.raises(NotImplementedError, match=r"give it as|give them as|undo what belongs|write it out"):
        operation.reverse()
