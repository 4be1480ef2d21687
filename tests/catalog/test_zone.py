"""In which time zone a job's session reckons: as the server itself decides it for a new session."""

from __future__ import annotations

import pytest

from hyperferry.catalog.zone import before_now, in_zone, zone_of
from hyperferry.db import connect, fetch_value
from servers import Database


def test_the_nearest_setting_wins(db: Database) -> None:
    role = db.make_role("Owner")
    quoted = f'"{role}"'
    [(name,)] = db.execute("SELECT quote_ident(current_database())")
    with connect(db.dsn) as conn:
        begun = zone_of(conn, role)
        for statement, zone in (
            (f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'", "Asia/Tokyo"),
            (f"ALTER ROLE {quoted} SET TimeZone = 'Europe/Berlin'", "Europe/Berlin"),
            (f"ALTER ROLE {quoted} IN DATABASE {name} SET timezone = 'America/Denver'", "America/Denver"),
            (f"ALTER ROLE {quoted} IN DATABASE {name} SET work_mem = '7MB'", "America/Denver"),
            (f"ALTER ROLE {quoted} IN DATABASE {name} RESET timezone", "Europe/Berlin"),
            (f"ALTER ROLE {quoted} RESET timezone", "Asia/Tokyo"),
            (f"ALTER DATABASE {name} RESET timezone", begun),
        ):
            db.execute(statement)
            assert zone_of(conn, role) == zone_of(conn, quoted) == zone
            with db.connect(role) as new:
                assert new.execute("SHOW timezone").fetchone() == (zone,)


@pytest.mark.parametrize("kind", ["timestamp without time zone", "date", "timestamp with time zone"])
def test_the_sessions_own_zone_is_as_it_was(db: Database, kind: str) -> None:
    hour = 3_600_000_000
    with connect(db.dsn) as conn:
        here, there = (before_now(conn, zone, kind, "0") for zone in ("UTC", "Etc/GMT-14"))
        assert fetch_value(conn, "SHOW timezone") == "UTC"
        late = {"date": (0, 24), "timestamp without time zone": (14, 14), "timestamp with time zone": (0, 0)}[
            kind
        ]
        assert late[0] * hour <= there - here <= late[1] * hour + hour
        with conn.transaction():
            with in_zone(conn, "Asia/Tokyo"):
                assert fetch_value(conn, "SHOW timezone") == "Asia/Tokyo"
            assert fetch_value(conn, "SHOW timezone") == "UTC"
