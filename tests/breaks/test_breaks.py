"""The catalogue of breaks cannot rot; and one break of each invariant is found, in each run of the tests."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

import servers

from . import catalogue, page, runner
from .model import ROOT, Break

QUICK = [one for one in catalogue.BREAKS if one.quick]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources to break."""
    copy = tmp_path_factory.mktemp("breaks") / "hyperferry"
    shutil.copytree(ROOT / "src" / "hyperferry", copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.mark.parametrize("one", catalogue.BREAKS, ids=lambda one: one.name)
def test_it_still_fits_the_sources(one: Break, package: Path) -> None:
    """Whoever changes such a line changes the break with it: `make breaks ARGS="<name>"` tells whether it is still found."""
    before = {edit.file: (package / edit.file).read_text("utf-8") for edit in one.edits}
    try:
        for edit in one.edits:
            edit.apply(package)
    finally:
        for file, text in before.items():
            (package / file).write_text(text, "utf-8")


@pytest.mark.parametrize("one", catalogue.BREAKS, ids=lambda one: one.name)
def test_the_test_that_it_names_is_there(one: Break) -> None:
    path, _, name = one.test.partition("::")
    tree = ast.parse((ROOT / "tests" / path).read_text("utf-8"))
    assert name in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_each_invariant_has_four_and_a_quick_one() -> None:
    assert list(catalogue.CATALOGUE) == [*(f"I{number}" for number in range(10)), "C"]
    for invariant, breaks in catalogue.CATALOGUE.items():
        assert len(breaks) >= 4, invariant
        assert sum(one.quick for one in breaks) == (invariant != "C"), invariant
    assert len({one.name for one in catalogue.BREAKS}) == len(catalogue.BREAKS)


def test_the_page_is_what_the_catalogue_says() -> None:
    assert page.FILE.read_text("utf-8") == page.text(), "run `make breaks ARGS=--page`"


def test_what_needs_the_community_edition_is_not_tried_without_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each, and nothing that looks like success."""
    monkeypatch.setattr(servers, "community_names", list)
    monkeypatch.setattr(servers, "end_run", lambda: None)
    assert runner.main(["images-not-summed-up", "late-chunks-forgotten"]) == 1
    said = capsys.readouterr().out
    assert said.count("not tried  C") == 2
    assert said.endswith("0 of 0 breaks found; 2 not tried\n")


@pytest.mark.slow
@pytest.mark.parametrize("one", QUICK, ids=lambda one: catalogue.invariant_of(one))
def test_the_tests_bite(one: Break) -> None:
    """The named test passes as the sources are, and fails when the invariant is broken."""
    whole = runner.unbroken([one.node], one.release)[one.node]
    verdict = runner.judge(one, whole, runner.broken(one))
    assert verdict.found, f"{one.name}: {verdict.text}\n{verdict.output[-3000:]}"
