"""USE_HYPERTABLES, for applications: whether to use the hypertables, for all, for a share, or for a role.

Imports nothing but Python's own library until a database is asked.

    from hyperferry.flag import use_hypertables          # the environment alone

    from hyperferry.flag import Flag, by_psycopg         # and `hyperferry flag on`, seen within seconds
    use_hypertables = Flag(by_psycopg(dsn))
"""

from __future__ import annotations

from .flag import FROM_DATABASE, NAME, REFRESH_SECONDS, Flag, Read, by_psycopg
from .share import described, parse, part_of

__all__ = [
    "FROM_DATABASE",
    "NAME",
    "REFRESH_SECONDS",
    "Flag",
    "Read",
    "by_psycopg",
    "described",
    "parse",
    "part_of",
    "use_hypertables",
]

use_hypertables = Flag()
"""The flag of the environment: `USE_HYPERTABLES=on`, `off` or `25%`."""
