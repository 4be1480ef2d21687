"""What is refused of a file alone is what `diff` refuses of it, where the database has nothing that matters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hyperferry.alembic.declared import of_file
from hyperferry.alembic.statements import Table
from hyperferry.declared.by_file import WITHOUT_A_DATABASE, refusals_of_file
from hyperferry.errors import Usage
from hyperferry.model.names import TableName

from .life import wish
from .made import STATE, TABLE, made_diff
from .test_diff import KEEPING, REFRESHED, REFUSED, RETAINED

WEEKLY = """
[[continuous_aggregate]]
name = "weekly"
query = "SELECT time_bucket('7 days', day) AS week FROM {source} GROUP BY 1"
refresh = {{ start_offset = '90 days', end_offset = '1 day', schedule = '1 day' }}
"""


@pytest.mark.parametrize(
    ("rule", "text"),
    [(rule, text) for rule, text, state in REFUSED if state is STATE or rule in WITHOUT_A_DATABASE],
)
def test_the_same_is_refused_with_and_without_a_database(rule: str, text: str) -> None:
    found = refusals_of_file(TABLE, wish(text))
    with_one = [each for each in made_diff(text).refusals if each.rule in WITHOUT_A_DATABASE]
    assert list(found) == with_one
    assert {each.rule for each in found} <= set(WITHOUT_A_DATABASE)


def test_a_file_that_goes_together() -> None:
    assert not refusals_of_file(TABLE, wish(""))
    assert not refusals_of_file(TABLE, wish(KEEPING.format("184 days", "6 months")))
    assert refusals_of_file(TABLE, wish(KEEPING.format("183 days", "6 months")))


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("daily", True),
        ("Public.Daily", True),
        ('public."daily"', True),
        ("ONLY daily AS d", True),
        ("daily_other", False),
        ('"Daily"', False),
        ("hourly", False),
        ("other, daily", False),
        ("daily.hourly", False),
    ],
)
def test_an_aggregate_over_another_one_is_judged_by_what_that_one_keeps(source: str, read: bool) -> None:
    kept = REFRESHED + "retention = { after = '30 days' }\n"
    found = refusals_of_file(TABLE, wish(kept + WEEKLY.format(source=source.replace('"', '\\"'))))
    assert [(each.rule, each.key) for each in found] == (
        [("refresh-behind-retention", "refresh-policy:public.weekly")] if read else []
    )


def test_rows_of_the_table_are_nothing_to_an_aggregate_that_reads_another_one() -> None:
    """Whether that one is in the file or not."""
    for source in ("daily", "hourly"):
        text = RETAINED + REFRESHED + WEEKLY.format(source=source)
        assert not refusals_of_file(TABLE, wish(text))
    [found] = refusals_of_file(TABLE, wish(RETAINED + WEEKLY.format(source="stats")))
    assert "public.stats are dropped after 10 days" in found.message


def test_names_are_read_as_in_sql() -> None:
    table = TableName("my schema", 'Weird "Name"')
    source = '"my schema"."Weird ""Name"""'.replace('"', '\\"')
    [found] = refusals_of_file(table, wish(RETAINED + WEEKLY.format(source=source)))
    assert found.key == 'refresh-policy:"my schema".weekly'
    assert not refusals_of_file(replace(table, name="weird"), wish(RETAINED + WEEKLY.format(source=source)))


def test_a_revision_takes_no_file_about_another_schemas_table(tmp_path: Path) -> None:
    """Where one of the names has no schema, a revision that is written without a database cannot tell."""
    file = tmp_path / "hyperferry.toml"
    file.write_text('table = "stats.events"\nchunk_interval = "7 days"\n', "utf-8")
    with pytest.raises(Usage, match=r"is about stats\.events, not public\.events"):
        of_file(Table("events", "public"), str(file), skip_on_apache=False)
    for own in (Table("events", "stats"), Table("events")):
        assert len(of_file(own, str(file), skip_on_apache=False)) == 1


@pytest.mark.parametrize("elsewhere", ["public.events", "events", "stats.events", "orders"])
@pytest.mark.parametrize("written", ["events", "public.events"])
def test_a_revision_goes_by_its_file_whatever_table_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: str, written: str
) -> None:
    """HYPERFERRY_TABLE is for the command line: a revision that did nothing for its sake would count as done."""
    file = tmp_path / "hyperferry.toml"
    file.write_text(f'table = "{written}"\nchunk_interval = "7 days"\n', "utf-8")
    monkeypatch.setenv("HYPERFERRY_TABLE", elsewhere)
    assert len(of_file(Table("events", "public"), str(file), skip_on_apache=False)) == 1
    assert len(of_file(Table("events"), str(file), skip_on_apache=False)) == 1
    with pytest.raises(Usage, match="is about"):
        of_file(Table("orders", "public"), str(file), skip_on_apache=False)
