"""A place on the time's axis, from a user's words."""

from __future__ import annotations

import re
from contextlib import suppress

import psycopg

from ..catalog.zone import in_zone, types_of, zone_of
from ..db import fetch_value, load_queries
from ..db.connection import Connection
from ..errors import Usage
from ..model.health import HealthFacts


def place_of(conn: Connection, facts: HealthFacts, text: str, option: str) -> int:
    """'30 days' before now, a moment ('2024-01-01'), or, for an integer time, its value.

    Now is what a policy of the owner's would have for it: a `timestamp` or a `date` has no zone, and is compared with the present
    in the zone of the owner's sessions.

    Raises Usage, also for what PostgreSQL reads as an interval and nobody means as one: a number without a unit ('20240101' would
    be seconds), and an interval that ends beyond the present ('2 years ago' is -2 years): every chunk would be older.
    """
    if facts.integer_time:
        try:
            return int(text.replace("_", ""))
        except ValueError:
            raise Usage(
                f"{option} {text!r} is not understood.",
                facts={"time column": f"{facts.time_column}, an integer"},
                remedy="give a value of that column.",
            ) from None
    queries = load_queries(__package__, "maintenance.sql")
    unread = (psycopg.DataError, psycopg.NotSupportedError, TypeError)  # NotSupportedError: infinity is no number
    if re.search(r"[a-z]", text, re.IGNORECASE):
        with suppress(*unread), in_zone(conn, zone_of(conn, facts.owner)):
            before = queries["place_before"].format(**types_of(facts.time_type))
            return int(fetch_value(conn, before, {"text": text}))
    with suppress(*unread):
        return int(fetch_value(conn, queries["place"], {"text": text}))
    raise Usage(
        f"{option} {text!r} is not understood.",
        facts={"given": text},
        remedy="give an interval before now, such as '30 days', or a moment, such as '2024-01-01'.",
    )
