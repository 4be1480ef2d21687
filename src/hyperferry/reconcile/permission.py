"""What `apply` must not do: half a file, a hypertable that is not in its place, rows dropped that nobody allowed to be."""

from __future__ import annotations

from dataclasses import dataclass

from ..declared.policies import dropped
from ..declared.registry import as_error
from ..errors import Refused
from ..model.difference import Difference
from ..model.rollout import Rollout
from ..model.upkeep import Loss


@dataclass(frozen=True)
class Allowed:
    """What may be lost: so many chunks by retention policies at once, these continuous aggregates, and by the rules in `accept`
    what aggregates lose by dropped chunks; and whether the building of an index may keep writers waiting for long."""

    chunks: int | None = None
    aggregates: frozenset[str] = frozenset()
    blocking_index: bool = False
    accept: frozenset[str] = frozenset()


def refuse_refusals(difference: Difference) -> None:
    """Raises Refused with every refusal: half a file is not what anybody wants."""
    if difference.refusals:
        raise as_error(
            difference.table,
            difference.refusals,
            "correct the file as said, then run the same command again; `hyperferry diff` shows the rest.",
        )


def refuse_unconfirmed(difference: Difference, allowed: Allowed) -> None:
    """Raises Refused for rows that would be dropped, and for writers that would be kept waiting, where nobody allowed it."""
    facts: dict[str, object] = {}
    chunks, tiered, options = 0, False, []
    losses: list[Loss] = []
    for step in difference.steps:
        if step.confirm is None:
            continue
        if step.confirm.drops is not None:
            chunks += len(step.confirm.drops.chunks)
            facts[step.key] = f"{step.what}; its first run drops {dropped(step.confirm.drops)}"
            tiered = tiered or step.confirm.drops.tiered
            losses += [each for each in step.confirm.drops.losses if each.rule not in allowed.accept]
        if step.confirm.aggregate is not None and str(step.confirm.aggregate) not in allowed.aggregates:
            facts[step.key] = step.what
            options.append(f"--confirm-drop-aggregate '{step.confirm.aggregate}'")
    blocking = [step for step in difference.steps if step.confirm is not None and step.confirm.blocks]
    if blocking and not allowed.blocking_index:
        facts |= {step.key: step.lock for step in blocking}
        options.append("--may-block")
    facts |= {f"{each.aggregate} ({each.rule})": each.message for each in losses}
    options += [f"--accept {rule}" for rule in dict.fromkeys(each.rule for each in losses)]
    if chunks > (allowed.chunks or 0) or (tiered and allowed.chunks is None):
        options.insert(0, f"--confirm-drop {chunks}")
    if options:
        raise Refused(
            f"{_lost(options)} of {difference.table}, and that was not confirmed.",
            facts=facts,
            remedy=" ".join([*(each.remedy for each in losses), "Or, where" if losses else "where"])
            + f" that may be: `hyperferry apply` with {' '.join(options)}.",
        )


def _lost(options: list[str]) -> str:
    """What is not confirmed, in words."""
    waiting = "writers would be kept waiting for long by an index"
    if options == ["--may-block"]:
        return waiting[0].upper() + waiting[1:]
    return "Rows would be dropped" + (f", and {waiting}," if "--may-block" in options else "")


def not_cut_over(rollout: Rollout) -> Refused:
    return Refused(
        f"The rollout of {rollout.table} is not cut over: nothing is applied before the hypertable is proved and in its place.",
        facts={"phase": rollout.phase},
        remedy=f"`hyperferry cutover {rollout.table}` first; or --before-cutover for its chunk interval, compression "
        f"settings and indexes.",
    )
