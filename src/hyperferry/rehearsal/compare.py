"""Whether two descriptions say the same: the clone and the table; the database before the job and after the way back. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hyperferry.model.inspection import Inspection

_ENTRY = re.compile(
    r"^--\n-- Name: (.*?); Type: (.*?); Schema: (.*?); Owner: ?.*?(?:; Tablespace: .*)?\n--\n", re.M
)
_OURS = re.compile(r"\bhyperferry_\w+$")


def objects(text: str) -> dict[str, str]:
    """The objects of a schema that pg_dump wrote, by kind and name, with their SQL; hyperferry's own triggers are left out."""
    parts = _ENTRY.split(text)
    found: dict[str, str] = {}
    for name, kind, schema, body in zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4], strict=True):
        if kind == "TRIGGER" and _OURS.search(name):
            continue
        key = f"{kind.lower()} {name}" + (f" in {schema}" if schema != "-" else "")
        # Settings in between belong to no object, and stand where the order of objects has them.
        lines = [
            line.rstrip()
            for line in body.splitlines()
            if line.strip() and not line.startswith(("SET default_", "--", "\\"))
        ]
        found[key] = found.get(key, "") + "\n".join(lines)
    return found


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What differs between two such lists, an object a line."""
    lines = [f"gone: {name}" for name in before if name not in after]
    lines += [f"left behind: {name}" for name in after if name not in before]
    for name, body in before.items():
        if name in after and after[name] != body:
            then, now = (set(each.splitlines()) for each in (body, after[name]))
            was = next((line.strip() for line in body.splitlines() if line not in now), "")
            became = next((line.strip() for line in after[name].splitlines() if line not in then), "")
            lines.append(f"changed: {name}: {was or 'nothing'} -> {became or 'nothing'}")
    return lines


def missing(real: Inspection, clone: Inspection) -> list[str]:
    """What hangs on the table and is not on its clone in the same way, a phrase each. Nothing where the clone is faithful."""
    found: list[str] = []
    # An owner who is another one has his rights all the same.
    owners = {real.table.owner, clone.table.owner} if real.table.owner != clone.table.owner else set()
    clones = _hanging(clone, owners)
    for kind, parts in _hanging(real, owners).items():
        for name, definition in parts.items():
            if name not in clones[kind]:
                found.append(f"{kind} {name} is missing")
            elif clones[kind][name] != definition:
                found.append(f"{kind} {name} is another")
    return found


def _hanging(inspection: Inspection, owners: set[str]) -> dict[str, dict[str, object]]:
    table = inspection.table
    return {
        "the table": {
            str(table.name): (table.kind, table.persistence, table.options, table.row_security, table.row_security_forced,
                              table.replica_identity, table.access_method)
        },
        "the owner": {table.owner: ""},
        "column": {
            each.name: (each.type_sql, each.not_null, each.default, each.generated, each.identity, each.collation)
            for each in inspection.columns
        },
        "index": {each.name: _squeezed(each.definition) for each in inspection.indexes},
        "constraint": {
            each.name: (_squeezed(each.definition), each.validated)
            for each in inspection.constraints
            if each.kind != "n"
        },
        "inbound foreign key": {f"{each.name} of {each.table}": _squeezed(each.definition) for each in inspection.inbound_keys},
        "trigger": {each.name: (_squeezed(each.definition), each.enabled) for each in inspection.triggers},
        "policy": {each.name: _squeezed(each.create) for each in inspection.policies},
        "rule": dict.fromkeys(inspection.rules, ""),
        "dependent": {f"{each.kind} {each.identity}": (each.options, each.owner) for each in inspection.dependents},
        "sequence": {str(each.name): (each.column, each.identity, each.increment) for each in inspection.sequences},
        "statistics": {str(each.name): each.definition for each in inspection.extended_statistics},
        "grant": dict.fromkeys(
            (f"{each.privilege}{f' ({each.column})' if each.column else ''} to {each.grantee or 'PUBLIC'}"
             for each in table.grants if each.grantee not in owners), ""
        ),
        "publication": dict.fromkeys(_publications(inspection), ""),
    }  # fmt: skip


def _publications(inspection: Inspection) -> Iterable[str]:
    return (*inspection.replication.publications, *inspection.replication.all_tables_publications)


def _squeezed(text: str) -> str:
    return " ".join(text.split())
