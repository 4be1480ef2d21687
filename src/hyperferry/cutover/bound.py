"""What is bound to the table by its OID, and is bound again to whatever has its name: views, SQL bodies, rules, policies.

None is dropped: CREATE OR REPLACE and ALTER keep owner, grants, comments and whatever depends on them.
"""

from __future__ import annotations

from psycopg import sql

from ..model.definitions import with_table
from ..model.inspection import Dependent, Inspection, Policy
from ..model.names import TableName
from ..model.statement import Statement, fragment

BODIES = ("function", "procedure")


def _ident(name: TableName) -> sql.Identifier:
    return sql.Identifier(name.schema, name.name)


def _direct(inspection: Inspection, *kinds: str) -> list[Dependent]:
    """The dependents of some kinds that name the table themselves, outermost first. Those on views alone keep their meaning
    by themselves."""
    found = [d for d in inspection.dependents if d.kind in kinds and d.direct]
    return sorted(found, key=lambda d: d.depth, reverse=True)


def locked_views(inspection: Inspection) -> dict[TableName, str]:
    """The views that change or whose rules do, with their owners, outermost first."""
    rules = {d.of: d.owner for d in _direct(inspection, "rule") if d.of is not None and d.of_kind == "v"}
    views = {view.name: view.owner for view in _direct(inspection, "view")}
    return {**{name: owner for name, owner in rules.items() if name not in views}, **views}


def locked_tables(inspection: Inspection) -> list[TableName]:
    """Other tables whose rules or policies change, each once."""
    found = {
        d.of
        for d in _direct(inspection, "rule", "policy")
        if d.of is not None and d.of_kind not in (None, "v")
    }
    return sorted(found - {inspection.table.name})


def bind_statements(inspection: Inspection) -> list[Statement]:
    """Binds everything to the table that has the name now. Inner views first, since an outer one may name them."""
    out = [_view(view) for view in reversed(_direct(inspection, "view"))]
    for dependent in _direct(inspection, *BODIES, "rule", "policy"):
        out.append(
            Statement(
                "views",
                f"{dependent.kind} {dependent.identity} works on the table that has the name now",
                sql.SQL("{}").format(fragment((dependent.definition or "").rstrip().rstrip(";"))),
            )
        )
    return out + [_own_policy(inspection, policy) for policy in inspection.policies if policy.again]


def _view(view: Dependent) -> Statement:
    """CREATE OR REPLACE VIEW with the view's options restated: they would be lost otherwise."""
    options: sql.Composable = sql.SQL("")
    if view.options:
        options = sql.SQL(" WITH ({})").format(sql.SQL(", ").join(map(_option, view.options)))
    return Statement(
        "views",
        f"{view.name} reads the table that has the name now",
        sql.SQL("CREATE OR REPLACE VIEW {}{} AS {}").format(
            _ident(view.name), options, fragment((view.definition or "").rstrip().rstrip(";"))
        ),
    )


def _option(option: str) -> sql.Composed:
    name, _, value = option.partition("=")
    return sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value))


def _own_policy(inspection: Inspection, policy: Policy) -> Statement:
    """A policy of the table whose sub-select reads the table itself."""
    return Statement(
        "views",
        f"the policy {policy.name} reads the table that has the name now",
        sql.Composed([fragment(with_table(policy.again or "", inspection.table.name.quoted))]),
    )
