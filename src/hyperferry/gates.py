"""What must be true before a step is taken: plans that are not stale, verifications that still count, changes that were accepted.

Each function either returns or raises with the facts; none changes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import psycopg
from psycopg import sql

from . import catalog, db, planner
from . import preflight as rules
from .cutover import dropped
from .db.connection import Connection
from .errors import Refused, SchemaChanged, Usage
from .ledger import store, unseen
from .ledger.codec import load_inspection
from .ledger.flow import Flow, flow_of
from .ledger.halfway import half_finished
from .model.finding import Finding, Level
from .model.given_up import is_given, leaves, unknown_keys, unknown_publications
from .model.inspection import Inspection
from .model.names import TableName
from .model.options import PreflightOptions
from .model.plan import Plan, Strategy
from .model.plan_options import PlanOptions
from .model.rollout import Direction, Phase, Rollout
from .words import plural

SNAPSHOTS = "snapshot-transactions"
"""Accepted: that sessions with a snapshot from before a swap may miss the last changes, so that nobody is waited for."""
AT_ROLLBACK = frozenset({dropped.RULE, SNAPSHOTS})
"""What can be accepted at a rollback."""


def refuse_blockers(findings: tuple[Finding, ...], table: TableName) -> None:
    """Raises Refused with every blocker among the findings, and its remedy."""
    blockers = [f for f in findings if f.level is Level.BLOCKER]
    if blockers:
        raise Refused(
            f"{table} cannot be moved as it is: {len(blockers)} blocker(s).",
            facts={f.rule: f.message for f in blockers},
            remedy=" / ".join(f.remedy for f in blockers),
        )


def check_plan(conn: Connection, plan: Plan) -> None:
    """The plan is what the table is now, and nothing stands in its way. Touches nothing."""
    now = catalog.inspect(conn, plan.table.quoted, plan.time_column, scan=False)
    stale = planner.is_stale(plan, now)
    if stale:
        raise SchemaChanged(
            f"The plan is stale: {plan.table} was changed since it was made."
            if now.table.oid == plan.inspection.table.oid
            else f"The plan is stale, or of another database: its {plan.table} is not the table of that name here.",
            facts={"changed": ", ".join(stale)},
            remedy="make a new plan with `hyperferry plan`.",
        )
    refuse_blockers(plan.findings, plan.table)
    refuse_blockers(rules.run(now, preflight_options(plan)), plan.table)


def refuse_another_plan(rollout: Rollout, plan: Plan) -> None:
    """Raises Refused where the rollout that is under way goes by another plan than the one that was given: of another table or
    schema, or one that decides otherwise."""
    otherwise: dict[str, object] = dict(planner.decided_otherwise(rollout.plan, plan))
    if plan.inspection.table.oid != rollout.plan.inspection.table.oid:
        why = ", from a plan of another table of that name"
        otherwise = {"oid of the table": f"{rollout.plan.inspection.table.oid}, in this plan {plan.inspection.table.oid}"}
    elif plan.fingerprint != rollout.plan.fingerprint:
        why = ", from a plan of another schema"
    elif otherwise:
        why = ", and its plan decides otherwise"
    else:
        return
    raise Refused(
        f"Another rollout of {rollout.table} is under way{why}.",
        facts={"rollout": rollout.id, "phase": rollout.phase, **otherwise},
        remedy=f"go on with it as it was planned (`hyperferry start {rollout.table}`), or end it with `hyperferry abort "
        f"{rollout.table}` and start anew.",
    )


def blockers_now(conn: Connection, rollout: Rollout) -> tuple[Finding, ...]:
    """What stands in the way of a swap by now although the plan did not know it. What can be accepted is asked for elsewhere."""
    now = catalog.inspect(conn, rollout.table.quoted, rollout.plan.time_column, scan=False)
    options = preflight_options(rollout.plan)
    if rollout.direction is Direction.FORWARD:
        found = rules.run(now, options)
    else:  # the table is a hypertable, whose reverse capture sees nothing of what a subscription writes
        rule = rules.RULES["subscription-target"]
        found = tuple(replace(f, rule=rule.name) for f in rule.check(now, options))
    return tuple(f for f in found if f.level is Level.BLOCKER and not f.accept)


def refuse_in_place(conn: Connection, plan: Plan, accept: frozenset[str]) -> None:
    """A conversion in place has no cutover that could ask: what it changes for the application is accepted before it begins."""
    if "all" in accept:
        return
    now = catalog.inspect(conn, plan.table.quoted, plan.time_column, scan=False)
    found = {
        finding.accept: finding.message
        for finding in (*plan.findings, *rules.run(now, preflight_options(plan)))
        if finding.accept and finding.accept not in accept
    }
    if found:
        raise Refused(
            f"Making {plan.table} a hypertable in place changes something for the application that was not accepted.",
            facts=dict(found),
            remedy="read what each means in docs/preflight, then give "
            + " ".join(f"--accept {rule}" for rule in sorted(found))
            + "; there is no way back.",
        )


def void_if_unseen(conn: Connection, rollout: Rollout) -> None:
    """Where rows come into the table that no trigger of ours sees, no proof counts any more: whoever is told of it may end that
    before the swap, and everything looks as it did. On a standby nothing can be noted, and nothing is swapped."""
    if rollout.hypertable_oid is None or unseen.way_in(conn, flow_of(rollout)) is None:
        return
    with suppress(psycopg.errors.ReadOnlySqlTransaction):
        store.bump_epoch(conn, rollout.id)


def refuse_new_blockers(conn: Connection, rollout: Rollout) -> None:
    """Raises Refused with the blockers that came since the start: capture may be blind to what they write."""
    void_if_unseen(conn, rollout)
    refuse_blockers(blockers_now(conn, rollout), rollout.table)


def preflight_options(options: Plan | PlanOptions) -> PreflightOptions:
    """What the rules judge by, from what the user decided."""
    return PreflightOptions(
        strategy=options.strategy or Strategy.BLUE_GREEN,
        drop_inbound_fks=options.drop_inbound_fks,
        drop_from_publications=options.drop_from_publications,
        compress=options.compression is not None,
        workers=options.workers,
    )


def check_given_up(inspection: Inspection, options: Plan | PlanOptions) -> None:
    """Raises Usage for a foreign key or a publication to drop that is not there: a slip of the pen would be a surprise later."""
    there = {
        "foreign keys that point at it": [key.identity for key in inspection.inbound_keys],
        "publications that name it": [member.name for member in inspection.replication.memberships],
    }
    for unknown, what, option in (
        (unknown_keys(inspection, options.drop_inbound_fks), "foreign key", "--drop-inbound-fk"),
        (
            unknown_publications(inspection, options.drop_from_publications),
            "publication",
            "--drop-from-publication",
        ),
    ):
        if unknown:
            raise Usage(
                f"{inspection.table.name} has no {what} {', '.join(unknown)} to be dropped from.",
                facts={kind: ", ".join(names) or "none" for kind, names in there.items()},
                remedy=f"correct {option}, or leave it out.",
            )


def refuse_unplanned(plan: Plan, keys: tuple[str, ...], publications: tuple[str, ...]) -> None:
    """What is given up is decided by the plan: a cutover takes the same names, and no others."""
    inspection = plan.inspection
    others = [
        *(
            k.identity
            for k in inspection.inbound_keys
            if is_given(k, keys) and not is_given(k, plan.drop_inbound_fks)
        ),
        *unknown_keys(inspection, keys),
        *(
            m.name
            for m in inspection.replication.memberships
            if leaves(m, publications) and not leaves(m, plan.drop_from_publications)
        ),
        *unknown_publications(inspection, publications),
    ]
    if others:
        raise Refused(
            f"The plan of this rollout says nothing of dropping {', '.join(others)}.",
            facts={
                "foreign keys that it drops": ", ".join(plan.drop_inbound_fks) or "none",
                "publications that it leaves": ", ".join(plan.drop_from_publications) or "none",
            },
            remedy="leave the name out; or `hyperferry abort` and start anew with it.",
        )


def valid_verification(conn: Connection, rollout: Rollout) -> store.Verification | None:
    """The newest verification of the present direction, if it still allows a swap (I5)."""
    direction = rollout.direction
    found = store.last_verification(conn, rollout.id, direction.value)
    if found is None or not found.match or found.epoch != store.epoch(conn, rollout.id):
        return None
    if found.fingerprint != catalog.fingerprint(conn, flow_of(rollout).active.oid):
        return None
    flow = flow_of(rollout)
    if found.tables != db.fetch_value(conn, sql.SQL("SELECT {}").format(unseen.tables(flow))):
        return None
    # A chunk of the other side, or rows on this one, of which no change tells.
    lost = dropped.missing(flow) if direction is Direction.FORWARD else dropped.unproved(flow)
    if db.fetch_value(conn, sql.SQL("SELECT {}").format(lost)):
        return None
    return found


def accepts_needed(conn: Connection, rollout: Rollout) -> dict[str, str]:
    """Rule -> why, for everything that changes for the application (I9): from the plan, the catalogs now, and the change log."""
    needed = {f.accept: f.message for f in rollout.plan.findings if f.accept}
    now = catalog.inspect(conn, rollout.table.quoted, rollout.plan.time_column, scan=False)
    needed |= {f.accept: f.message for f in rules.run(now, PreflightOptions()) if f.accept}
    for found in store.found(conn, rollout.id):
        needed.setdefault(found, "the change log shows updates that moved rows from one chunk to another")
    return {str(rule): why for rule, why in needed.items()}


def refusals(conn: Connection, rollout: Rollout, accept: frozenset[str]) -> dict[str, str]:
    """What keeps the cutover from being tried."""
    if "all" in accept:
        return {}
    accepted = accept | store.all_accepted(conn, rollout.id)
    return {rule: why for rule, why in accepts_needed(conn, rollout).items() if rule not in accepted}


def named(conn: Connection, rollout: Rollout, accept: frozenset[str]) -> frozenset[str]:
    """What is accepted, by name: `all` stands for what changes by what is known now, and for older snapshots at the swap.

    So the ledger remembers `all` as it was meant: what is found later has to be accepted anew.
    """
    if "all" not in accept:
        return accept
    return (accept - {"all"}) | accepts_needed(conn, rollout).keys() | {SNAPSHOTS}


def refuse_cutover(conn: Connection, rollout: Rollout, accept: frozenset[str]) -> None:
    """The rollout is where a cutover can follow, and what that changes for the application was accepted."""
    if rollout.phase not in (Phase.SYNCED, Phase.ROLLED_BACK):
        raise Refused(
            f"The rollout of {rollout.table} is in phase {rollout.phase}, so it cannot be cut over.",
            remedy="run `hyperferry start TABLE` until it is synced.",
        )
    found = refusals(conn, rollout, accept)
    if found:
        raise Refused(
            f"The cutover of {rollout.table} changes something for the application that was not accepted.",
            facts=dict(found),
            remedy="read what each means in docs/preflight, then give "
            + " ".join(f"--accept {rule}" for rule in sorted(found)),
        )


ACCEPTABLE = frozenset(
    {
        "cross-chunk-updates",
        "on-conflict-key",
        "view-groups-by-key",
        "widened-key",
        SNAPSHOTS,
        "other-replication",
        "all",
    }
)


def check_accept(accept: frozenset[str]) -> None:
    unknown = accept - ACCEPTABLE
    if unknown:
        raise Usage(
            f"There is nothing called {', '.join(sorted(unknown))} to accept.",
            facts={"can be accepted": ", ".join(sorted(ACCEPTABLE))},
            remedy="name one of these with --accept.",
        )


def refuse_dropped(conn: Connection, flow: Flow) -> str:
    """Rows that drop_chunks or retention took from the hypertable are in old still: a rollback would bring them back. Returns
    what was noted as dropped (`dropped.noted`) when that was found not to be so."""
    noted, ranges = dropped.judged(conn, flow)
    rows = dropped.rows_left(conn, flow, ranges)
    if rows:
        raise Refused(
            f"A rollback of {flow.rollout.table} would bring back {rows} rows whose chunks were dropped since the cutover.",
            facts={
                "rows": rows,
                **{f"dropped range {n}": text for n, text in enumerate(dropped.texts(ranges)[:10], 1)},
            },
            remedy=f"if they are to come back: `hyperferry rollback {flow.rollout.table} --accept {dropped.RULE}`. "
            f"If not, delete them from the old table first: {dropped.delete_text(flow, ranges)};",
        )
    return noted


def refuse_half_finished(conn: Connection, rollout: Rollout) -> None:
    """Raises Refused where nothing but `finish` can go on."""
    if half_finished(conn, rollout):
        raise Refused(
            f"The finish of {rollout.table} was interrupted: writes are no longer carried back to the old table.",
            facts={"rollout": rollout.id, "old table": rollout.names.old},
            remedy=f"only the finish can go on: hyperferry finish {rollout.table} --confirm {rollout.table}. "
            "Nothing of the hypertable's is missing.",
        )


def refused_by(*asked: Callable[[], object]) -> list[str]:
    """What each of these gates refuses, a line each with its facts and what to do; nothing for one that would let it pass."""
    found = []
    for gate in asked:
        try:
            gate()
        except Refused as error:
            facts = "; ".join(f"{name}: {value}" for name, value in error.facts.items() if name not in ("rollout", "phase"))
            found.append(f"{error.message} {facts}. What to do: {error.remedy}")
    return found


def tell_older_snapshots(conn: Connection, say: Callable[[str], None]) -> None:
    """Says who may see the plain table as it was before the changes that a rollback brings, where nobody is waited for."""
    if holders := db.snapshot_holders_of(conn):
        say(
            f"{plural(len(holders), 'session')} in a transaction with a snapshot of before the rollback: one in REPEATABLE READ "
            "or SERIALIZABLE that comes to the table only after it sees none of the changes that are applied now. "
            + "; ".join(str(each) for each in holders[:3])
        )


def refuse_missing_rights(conn: Connection, rollout: Rollout) -> None:
    """Rights may have been taken away since the preflight: told before the swap, not in the middle of it."""
    table = catalog.resolve_table(conn, rollout.table.quoted)
    report = catalog.rights_report(conn, table=table)
    if report.missing:
        raise Refused(
            f"{report.role} lacks rights that the swap of {rollout.table} needs.",
            facts={f"missing {n}": f"{need.what}: {need.why}" for n, need in enumerate(report.missing, 1)},
            remedy=" ".join(report.grant(need) for need in report.missing),
        )


NEITHER_CAME_NOR_WENT = ("index", "trigger", "policy", "rule", "dependent", "statistics", "grant")
"""What a swap leaves on the table of record as the plan has it."""
DID_NOT_COME = (*NEITHER_CAME_NOR_WENT, "constraint", "foreign key")
"""And what it may leave out: keys that point at the table and are given up, or that a hypertable cannot be pointed at by."""
TIMESCALEDBS = ("ts_insert_blocker", "ts_cagg_invalidation_trigger")
"""Triggers that TimescaleDB puts on a hypertable."""


def changed_by_others(rollout: Rollout, now: Inspection) -> tuple[str, ...]:
    """What has come onto the table, or gone from it, since the plan, and by no swap: a line each. What was changed in its place
    cannot be told from what a swap makes of it."""
    time = rollout.plan.time_column
    # An invalid index is not carried over: the hypertable never had it, and the plain table has it still.
    before, now = (replace(each, indexes=tuple(i for i in each.indexes if i.valid)) for each in (rollout.plan.inspection, now))
    now = replace(
        now,
        triggers=tuple(each for each in now.triggers if each.name not in TIMESCALEDBS),
        # A hypertable's time is NOT NULL, which from PostgreSQL 18 on is a constraint.
        constraints=tuple(each for each in now.constraints if not (each.kind == "n" and each.columns == (time,))),
    )
    lines = planner.changes_between(before, now)
    return tuple(
        line
        for line in lines
        if (line.startswith(NEITHER_CAME_NOR_WENT) and line.endswith(" is gone"))
        or (line.startswith(DID_NOT_COME) and line.endswith(" is new"))
    )


def refuse_changed_by_others(rollout: Rollout, now: Inspection) -> None:
    """For a swap whose last step was interrupted, so that nothing tells how it left the table. Raises SchemaChanged with what
    others did since: the swap back would undo it, or leave it behind."""
    changes = changed_by_others(rollout, now)
    if changes:
        raise SchemaChanged(
            f"Something was put on {rollout.table}, or taken from it, since the last swap, whose end was interrupted.",
            facts={"rollout": rollout.id, "phase": rollout.phase, **{f"change {n}": line for n, line in enumerate(changes, 1)}},
            remedy="the other table would not have it so: undo it, run the same command again, and do it anew afterwards.",
        )


def refuse_changed(conn: Connection, rollout: Rollout) -> str:
    """What hangs on the table is moved as the plan knows it: what was added or changed since would be left behind. Returns the
    fingerprint that was found to be the plan's."""
    cut_over = rollout.phase is Phase.CUT_OVER
    fingerprint = catalog.fingerprint(conn, flow_of(rollout).active.oid)
    noted = store.last_events(conn, rollout.id, ["swap", "fingerprint"])
    detail = noted[0][2] if noted and noted[0][1] == "fingerprint" else {}
    # A swap binds views and the like anew, which PostgreSQL stores a little otherwise than they were written.
    if fingerprint in (detail.get("fingerprint"), None if cut_over else rollout.plan.fingerprint):
        return fingerprint
    before = load_inspection(detail["inspection"]) if "inspection" in detail else rollout.plan.inspection
    now = catalog.inspect(conn, rollout.table.quoted, rollout.plan.time_column, scan=False)
    changes = planner.changes_between(before, now)
    others = planner.changes_between(planner.without_validity(before), planner.without_validity(now))
    if changes and not others and (not cut_over or "inspection" in detail):  # a key was validated: nothing to undo
        return fingerprint
    changes = others or changes
    if cut_over and "inspection" not in detail:
        changes = ("it cannot be told what: the cutover's last step was not done",)
    elif rollout.phase is Phase.ROLLED_BACK and not changes:
        return fingerprint
    raise SchemaChanged(
        f"{rollout.table}, or something that hangs on it (an index, a view, a grant, a trigger, ...), was changed since "
        + ("the cutover." if cut_over else "the plan was made."),
        facts={
            "rollout": rollout.id,
            "phase": rollout.phase,
            **{f"change {number}": line for number, line in enumerate(changes, 1)},
        },
        remedy=("the old table would not have it, so: " if cut_over else "")
        + "undo that change"
        + "".join(f"; {text}" for text in planner.undo_statements(before, now))
        + "; then run the same command again"
        + (
            ", and make it anew afterwards."
            if cut_over
            else "; or `hyperferry abort` and start anew with a new plan."
        ),
    )
