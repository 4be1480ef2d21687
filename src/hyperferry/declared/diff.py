"""What stands between the file and the database. Pure: the same in gives the same out."""

from __future__ import annotations

from ..model.declared import Declared
from ..model.difference import Difference, Step, Work
from ..model.lifecycle import HypertableState, Readings, ServerState
from . import of_aggregates, of_compression, of_table, policies
from .outcome import Case, case_of
from .parts import Parts, Turn
from .registry import refusals_of
from .statements import Statements


def diff(
    declared: Declared,
    state: HypertableState,
    server: ServerState,
    readings: Readings,
    *,
    prune: frozenset[str] = frozenset(),
    before_cutover: bool = False,
) -> Difference:
    """The steps from `state` to `declared`, in order, and the wishes that are refused. `prune` are keys of unmanaged
    things that go.

    `before_cutover`: the hypertable does not serve the application yet; what works on rows or reads them waits.
    """
    case = case_of(declared, state, server, readings, prune)
    parts = Parts(case, Statements(server))
    of_table.interval(parts)
    of_table.indexes(parts, case.root, Turn.INDEXES)
    of_compression.settings(parts, case.root, Turn.COMPRESSION)
    of_aggregates.aggregates(parts)
    of_compression.policy(parts, case.root)
    policies.reorder(parts, case.root)
    policies.retention(parts, case.root)
    refusals = refusals_of(case)
    refused = {each.key for each in refusals}
    steps = tuple(step for step in parts.ordered() if step.key not in refused)
    later: tuple[Step, ...] = ()
    if before_cutover:
        later = tuple(step for step in steps if not _may_come_early(case, step))
        steps = tuple(step for step in steps if step not in later)
    absent = prune - {step.key for _, step in parts.steps} - {each.split(": ")[0] for each in parts.same}
    return Difference(
        state.name,
        steps,
        refusals,
        tuple(parts.unmanaged),
        tuple(parts.same),
        later,
        tuple(sorted(absent)),
    )


def _may_come_early(case: Case, step: Step) -> bool:
    """Whether a step may come before the cutover: settings and indexes of the hypertable itself, which change no row."""
    early = step.key in ("chunk_interval", "compression") or step.work is Work.INDEX
    return early and step.relation == case.state.name
