"""A query through views, with the views written into it: until the swap points them there, none reads the other table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..model.names import TableName, quote_ident
from .statements import loud, retarget, unqualify, with_names
from .tokens import tokens


@dataclass(frozen=True)
class View:
    """A view on the table, or on such a view. `definition` has every name qualified, as pg_get_viewdef prints it under an empty
    search_path. `depth`: the longest way to the table. `barrier`: a security barrier, whose planning nothing else has."""

    name: TableName
    oid: int
    definition: str
    depth: int
    barrier: bool = False


def inline(text: str, views: Sequence[View], table: TableName, schema: str, database: str = "") -> str | None:
    """The query as it reads once the views read the table's namesake in `schema`: each view a WITH of its name, which the
    planner takes as it takes a view. None where that cannot be: a barrier, or two of one name, a WITH of the query's or of a
    view's own included."""
    names = [view.name.name for view in views]
    if not views or any(view.barrier for view in views) or len({*names, table.name}) <= len(names):
        return None
    if any(not with_names(loud(each)).isdisjoint(names) for each in (text, *(view.definition for view in views))):
        return None

    def pointed(part: str) -> str:
        for view in views:
            part = unqualify(part, view.name, database)
        return retarget(part, table, schema, database)

    written = ",\n".join(
        f"{quote_ident(view.name.name)} AS NOT MATERIALIZED (\n{pointed(view.definition).rstrip().rstrip(';')}\n)"
        for view in sorted(views, key=lambda view: view.depth)
    )
    query = pointed(text)
    words = loud(query)
    if words[0].word != "with":
        return f"WITH {written}\n{query}"
    skipped = 2 if words[1].word == "recursive" else 1
    at = counted = 0
    for token in tokens(query):
        at += len(token.text)
        counted += not token.silent
        if counted == skipped:
            break
    return f"{query[:at]} {written},\n{query[at:]}"
