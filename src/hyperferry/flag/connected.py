"""A connection of psycopg's for what asks in the background."""

from __future__ import annotations

import os
from typing import Any

LOST = {"tcp_user_timeout": 10_000, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""By when a server that says nothing any more counts as gone (milliseconds, then seconds): else the last answer would stand for
as long as the system sends again, a quarter of an hour. What the DSN says counts first."""


def connected(dsn: str, name: str, connect_timeout: int, *, autocommit: bool = False) -> Any:
    """Connected. It sets nothing for the session, which behind a pooler would serve the application after us. Raises what psycopg
    raises."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    said = conninfo_to_dict(dsn)
    options: dict[str, Any] = {key: value for key, value in LOST.items() if key not in said}
    if "client_encoding" not in said and "PGCLIENTENCODING" not in os.environ:
        options["client_encoding"] = "utf8"  # from a database in SQL_ASCII psycopg would give bytes for text
    return psycopg.connect(
        dsn,
        autocommit=autocommit,
        connect_timeout=connect_timeout,
        application_name=name,
        prepare_threshold=None,
        **options,
    )
