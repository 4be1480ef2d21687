"""What the Apache edition cannot do, and what can be done instead."""

from __future__ import annotations

APACHE_COMPRESSION = (
    "not on the Apache edition: there is no compression there. Instead: fewer indexes, narrower types, and TOAST with "
    "lz4 for long "
    "values; or the Community edition"
)
APACHE_RETENTION = (
    "no policy on the Apache edition: run `SELECT drop_chunks(...)` from cron instead, which works there"
)
APACHE_AGGREGATES = (
    "not on the Apache edition: no continuous aggregates there. Instead: a materialized view that cron refreshes, or a "
    "table of "
    "totals that a job keeps"
)
