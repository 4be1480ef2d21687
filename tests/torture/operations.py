"""What a writer does: each operation gives the statements of one step of a transaction, on the writer's own rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from .tables import FIRST_OWN, PARENT, Shape, ident

COPY = "COPY "
"""Begins a statement whose rows come on lines of their own behind the first."""
ASK = "SELECT "
"""Begins a statement whose row is sent back into the operation."""
FAILS = "-- has to fail\n"
"""Begins a statement whose error is awaited: the transaction goes back to the last savepoint."""


@dataclass
class Hand:
    """One writer's hand: `tag` marks its rows, `served` tells that a hypertable may serve, so that I9's list holds; `swapping` that
    it is not known which."""

    shape: Shape
    tag: int
    random: random.Random
    served: bool = False
    swapping: bool = False
    number: int = FIRST_OWN

    def draw(self, operation: str) -> Generator[str, tuple[object, ...] | None, None]:
        """The statements of one step; into it goes the row of what begins with ASK."""
        yield from getattr(self, f"_{operation}")()

    # Parts.

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _row(self) -> dict[str, str]:
        return self.shape.row(self.random, self.tag, self._next())

    @property
    def _mine(self) -> str:
        return f"{ident(self.shape.table.tag)} = {self.tag}"

    def _some(self, most: int) -> str:
        """Some rows of ours, found by their places: there may be no key."""
        n, salt = self.random.randrange(1, most + 1), self.random.randrange(10**9)
        return (
            f"(tableoid, ctid) IN (SELECT tableoid, ctid FROM {self.shape.name} WHERE {self._mine} "
            f"ORDER BY hashtextextended(ctid::text, {salt}) LIMIT {n})"
        )

    def _changes(self) -> list[str]:
        r, out = self.random, []
        columns = self.shape.plain_columns
        for column in r.sample(columns, min(len(columns), r.randrange(1, 4))):
            out.append(f"{ident(column.name)} = {self.shape.any(r, column)}")
        if self.shape.table.parent and r.random() < 0.5:
            out.append(f"{ident(PARENT)} = {r.choice(('NULL', '1', '2', '3', '4', '5'))}")
        return out or [f"{ident(self.shape.table.tag)} = {self.tag}"]

    def _update(self, most: int = 3) -> Iterator[str]:
        yield f"UPDATE {self.shape.name} SET {', '.join(self._changes())} WHERE {self._some(most)}"

    @property
    def _target(self) -> str | None:
        """What ON CONFLICT may name: the key, and the time where a hypertable serves; no target is right on both sides of a swap."""
        t = self.shape.table
        if t.key_form in ("", "deferrable", "deferred") or (self.swapping and t.key_form != "with time"):
            return None
        return ident(t.key) + (f", {ident(t.time)}" if self.served or t.key_form == "with time" else "")

    def _same_again(self) -> str | None:
        """INSERT of a row that is there, with the same key and time and all else new."""
        t, key = self.shape.table, self.shape.key
        if key is None:
            return None
        row = self._row()
        row[t.key], row[t.time] = f"x.{ident(t.key)}", f"x.{ident(t.time)}"
        over = " OVERRIDING SYSTEM VALUE" if t.key_form == "always" else ""
        return (
            f"INSERT INTO {self.shape.name} AS it ({', '.join(map(ident, row))}){over} SELECT {', '.join(row.values())} "
            f"FROM {self.shape.name} AS x WHERE x.{self._mine} ORDER BY hashtextextended(x.ctid::text, {self.random.randrange(10**9)}) LIMIT 1"
        )

    # Operations.

    def _insert(self) -> Iterator[str]:
        yield self.shape.insert([self._row()])

    def _bulk_insert(self) -> Iterator[str]:
        yield self.shape.insert([self._row() for _ in range(self.random.randrange(2, 16))])

    def _copy(self) -> Iterator[str]:
        rows = [self._row() for _ in range(self.random.randrange(1, 12))]
        names = list(rows[0])
        lines = ["\t".join(_copied(row[name]) for name in names) for row in rows]
        yield f"{COPY}{self.shape.name} ({', '.join(map(ident, names))}) FROM STDIN\n" + "\n".join(lines)

    def _upsert(self) -> Iterator[str]:
        insert, target = self._same_again(), self._target
        if insert is None or target is None:
            yield from self._insert()
            return
        columns = self.shape.plain_columns
        action = ", ".join(f"{ident(c.name)} = excluded.{ident(c.name)}" for c in columns) or f"{ident(self.shape.table.tag)} = {self.tag}"
        yield f"{insert} ON CONFLICT ({target}) DO UPDATE SET {action}"

    def _insert_nothing(self) -> Iterator[str]:
        insert = self._same_again()
        if insert is None or self.shape.deferrable:
            yield from self._insert()
        else:
            yield f"{insert} ON CONFLICT DO NOTHING"

    def _update_many(self) -> Iterator[str]:
        yield from self._update(50)

    def _touch(self) -> Iterator[str]:
        names = [ident(c.name) for c in self.shape.plain_columns] or [ident(self.shape.table.tag)]
        yield f"UPDATE {self.shape.name} SET {', '.join(f'{n} = {n}' for n in names)} WHERE {self._some(20)}"

    def _update_key(self) -> Iterator[str]:
        r, shape = self.random, self.shape
        columns = list(shape.unique_columns)
        if shape.key and shape.sequenced and shape.table.key_form != "always":
            columns.append(shape.key)
        if not columns:
            yield from self._update()
            return
        column = r.choice(columns)
        yield f"UPDATE {shape.name} SET {ident(column.name)} = {shape.fresh(r, column, self.tag, self._next())} WHERE {self._some(1)}"

    def _update_near(self) -> Iterator[str]:
        yield f"UPDATE {self.shape.name} SET {ident(self.shape.table.time)} = {self.shape.near(self.random)} WHERE {self._some(30)}"

    def _update_far(self) -> Iterator[str]:
        if self.served:
            yield from self._replace()
            return
        yield f"UPDATE {self.shape.name} SET {ident(self.shape.table.time)} = {self.shape.moment(self.random)} WHERE {self._some(30)}"

    def _delete(self) -> Iterator[str]:
        yield f"DELETE FROM {self.shape.name} WHERE {self._some(3)}"

    def _delete_many(self) -> Iterator[str]:
        yield f"DELETE FROM {self.shape.name} WHERE {self._some(40)}"

    def _replace(self) -> Iterator[str]:
        """Rows go, and come again elsewhere."""
        yield from self._delete()
        yield from self._bulk_insert()

    def _in_and_out(self) -> Iterator[str]:
        """Rows that come and change and go within the transaction."""
        yield from self._insert()
        yield from self._update(5)
        yield from self._delete()
        yield from self._insert()

    def _merge(self) -> Iterator[str]:
        shape, r = self.shape, self.random
        key, t = shape.key, shape.table
        if key is None or shape.sequenced:
            yield from self._update()
            return
        row = self._row()
        names = ", ".join(map(ident, row))
        values = ", ".join(row.values())
        action = r.choice((f"UPDATE SET {', '.join(self._changes())}", "DELETE", "DO NOTHING"))
        yield (
            f"MERGE INTO {shape.name} AS it USING (SELECT {ident(t.key)} AS k, {ident(t.time)} AS c FROM {shape.name} WHERE {self._some(2)} "
            f"UNION ALL SELECT {row[t.key]}, {row[t.time]}) AS s ON it.{ident(t.key)} = s.k AND it.{ident(t.time)} = s.c "
            f"WHEN MATCHED THEN {action} WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
        )

    def _swap(self) -> Generator[str, tuple[object, ...] | None, None]:
        """Two rows exchange a unique value, by way of a third value where the constraint does not wait."""
        shape, r = self.shape, self.random
        columns = shape.unique_columns
        if not columns:
            yield from self._update()
            return
        column = r.choice(columns)
        name = ident(column.name)
        row = yield (
            f"{ASK}array_agg({name}::text) FROM (SELECT {name} FROM {shape.name} WHERE {self._mine} AND {name} IS NOT NULL "
            f"ORDER BY hashtextextended(ctid::text, {r.randrange(10**9)}) LIMIT 2) AS x"
        )
        two = row[0] if row else None
        if not isinstance(two, list) or len(two) < 2:
            yield from self._insert()
            return
        a, b = (shape.cast(column, text) for text in two)
        spare = shape.fresh(r, column, self.tag, self._next())
        for new, old in ((spare, a), (a, b), (b, spare)):
            yield f"UPDATE {shape.name} SET {name} = {new} WHERE {self._mine} AND {name} = {old}"

    def _savepoint(self) -> Iterator[str]:
        """Steps that stay or go, one within the other."""
        r = self.random
        others: tuple[Callable[[], Iterator[str]], ...] = (self._insert, self._update, self._delete, self._update_key, self._bulk_insert)
        yield "SAVEPOINT a"
        yield from r.choice(others)()
        yield "SAVEPOINT b"
        yield from r.choice(others)()
        yield r.choice(("ROLLBACK TO SAVEPOINT b", "RELEASE SAVEPOINT b"))
        yield from r.choice(others)()
        yield r.choice(("ROLLBACK TO SAVEPOINT a", "RELEASE SAVEPOINT a"))
        yield from r.choice(others)()

    def _failing(self) -> Iterator[str]:
        """A statement that the server refuses half-way, within a savepoint."""
        shape = self.shape
        yield "SAVEPOINT a"
        first, second = self._row(), self._row()
        shared = [c.name for c in shape.unique_columns if first[c.name].partition("::")[0] != "NULL"]
        if shared and not shape.deferrable and self.tag > 1:
            second[shape.table.time] = first[shape.table.time]
            for name in shared:
                second[name] = first[name]
            yield f"{FAILS}{shape.insert([first, second])}"
        else:
            yield f"{FAILS}{shape.insert([first])} RETURNING 1 / ({self.tag} - {self.tag})"
        yield from self._insert()


def _copied(expression: str) -> str:
    """A row's literal as a field of COPY."""
    text = expression.rpartition("::")[0]
    if text == "NULL":
        return "\\N"
    if text.startswith("'"):
        text = text[1:-1].replace("''", "'")
    for char, escaped in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n")):
        text = text.replace(char, escaped)
    return text
