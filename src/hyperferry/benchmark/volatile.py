"""Which functions a text calls that may do more than read."""

from __future__ import annotations

from collections.abc import Sequence

from ..db import fetch_all
from ..db.connection import Connection
from .sides import query
from .statements import called

HARMLESS = ("random", "random_normal", "clock_timestamp", "timeofday", "gen_random_uuid", "uuidv4", "uuidv7")
"""Volatile functions of the server that do nothing but give a value."""
READING = ("time_bucket_gapfill", "locf", "interpolate")
"""Functions of TimescaleDB that are called volatile so that nothing is evaluated before its time; they only read."""


def volatile_calls(conn: Connection, text: str, path: Sequence[str]) -> str:
    """The volatile functions that the text seems to call, by name; '' for none. `path`: the schemas of names without one."""
    functions = sorted(called(text), key=str)
    values = {
        "schemas": [schema for schema, _ in functions],
        "names": [name for _, name in functions],
        "path": list(path),
        "harmless": list(HARMLESS),
        "reading": list(READING),
    }
    return ", ".join(row[0] for row in fetch_all(conn, query("volatile"), values))
