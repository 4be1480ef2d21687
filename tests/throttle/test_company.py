"""Who else is at work: sessions that do something, in whatever database, and none of ours."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hyperferry.db import connect
from hyperferry.db.connection import Connection
from hyperferry.throttle import Company
from kit.standby import own_server
from servers import Database, Server, drop_database, make_database

looks = st.lists(st.integers(0, 3), max_size=5).map(tuple)


@given(looks)
def test_whoever_is_seen_once_is_nobody_and_whoever_is_seen_often_is_somebody(seen: tuple[int, ...]) -> None:
    found = Company.at_work(seen)
    often = sum(1 for one in seen if one) >= 2
    assert found == (max(seen) if often or seen[-1:] > (1,) else 0)


class Looks:
    """Looks without a pause."""

    def __init__(self, conn: Connection) -> None:
        self.conn, self.company = conn, Company(every=0)

    def at_work(self, times: int = 2) -> int:
        """The last of so many looks."""
        return [self.company.look(self.conn) for _ in range(times)][-1]


def test_sessions_that_do_something_are_company_and_no_others(server: Server) -> None:
    """On a server of its own: whatever else is at work would count, as it should."""
    with own_server(server.release) as alone:
        first, second = make_database(alone), make_database(alone)
        try:
            see_company(first, second)
        finally:
            drop_database(first)
            drop_database(second)


def see_company(db: Database, elsewhere: Database) -> None:
    with (
        connect(db.dsn, purpose="throttle") as conn,
        elsewhere.connect() as idle,
        connect(db.dsn, purpose="copy 1") as ours,
    ):
        conn.execute(
            "SELECT pg_sleep(1.5)"
        )  # whoever made the databases is idle for longer than a second by now
        ours.execute("SELECT 1")
        assert Looks(conn).at_work(5) == 0
        for _ in range(5):  # a second's work is soon over on a busy machine
            idle.execute("SELECT 1")
            if (seen := Looks(conn).at_work()) == 1:
                break
        assert seen == 1
        with elsewhere.connect() as holder:
            holder.execute("BEGIN; SELECT 1")
            conn.execute("SELECT pg_sleep(1.5)")
            assert Looks(conn).at_work() == 0, "a transaction that does nothing takes no core"
        role = db.make_role()
        with connect(db.dsn_as(role), purpose="throttle") as stranger:
            conn.execute("SELECT pg_sleep(1.5)")
            assert Looks(conn).at_work() == 0
            looks = Looks(stranger)
            assert looks.at_work() >= 1, "an idle session, hidden from this role, may be at work"
            assert looks.company.hidden >= 1
        assert Looks(conn).company.hidden == 0
        # Looks are counted, not calls.
        company = Company(clock=lambda: 0.0)
        idle.execute("SELECT 1")
        assert [company.look(conn) for _ in range(10)] == [0] * 10
