"""What the user gave up at the cutover and dropped since: a swap has nothing to put back there, nor to take off."""

from __future__ import annotations

from dataclasses import replace

from ..db import fetch_all, load_queries
from ..db.connection import Connection
from ..errors import Refused
from ..ledger.flow import Flow
from ..model.given_up import kept


def gone_publications(conn: Connection, flow: Flow) -> set[str]:
    """Those of the plan's publications that are gone, or have another name."""
    names = [member.name for member in flow.rollout.plan.inspection.replication.memberships]
    if not names:
        return set()
    return {row[0] for row in fetch_all(conn, load_queries(__package__, "gone.sql")["publications"], {"names": names})}


def without_gone(conn: Connection, flow: Flow) -> tuple[Flow, list[str]]:
    """The flow with a plan that knows neither the foreign keys that were given up and whose table is gone by now, nor the
    publications that are gone; and a line for each of them. Raises Refused where such a table has another name now: its key would
    be left off in silence."""
    plan = flow.rollout.plan
    inspection, queries = plan.inspection, load_queries(__package__, "gone.sql")
    held = kept(inspection, plan.drop_inbound_fks)
    given_up = [key for key in inspection.inbound_keys if key not in held]
    members = inspection.replication.memberships
    if not given_up and not members:
        return flow, []
    asked = {"names": [key.table.quoted for key in given_up], "oids": [key.table_oid for key in given_up]}
    tables = dict(fetch_all(conn, queries["tables"], asked))
    if renamed := {name: now for name, now in tables.items() if now is not None}:
        raise Refused(
            "A table whose foreign key was given up has another name now, so the key cannot be put back.",
            facts={f"was {name}": f"is {now}" for name, now in renamed.items()},
            remedy="give it its name back until the swap is done; nothing was changed.",
        )
    publications = gone_publications(conn, flow)
    keys = [key for key in given_up if key.table.quoted in tables]
    left = [member for member in members if member.name in publications]
    lines = [f"{key.table} is gone: its foreign key {key.name} is not put back" for key in keys]
    lines += [
        f"the publication {member.name} is gone, or has another name: the table is not put back into it" for member in left
    ]
    if not lines:
        return flow, []
    seen = replace(
        inspection,
        inbound_keys=tuple(key for key in inspection.inbound_keys if key not in keys),
        replication=replace(inspection.replication, memberships=tuple(member for member in members if member not in left)),
    )
    return replace(flow, rollout=replace(flow.rollout, plan=replace(plan, inspection=seen))), lines
