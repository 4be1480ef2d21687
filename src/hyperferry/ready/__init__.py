"""Files that a project can take as they are: check-migrations in CI, and a compose file for staging. See README.md."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ..errors import Refused, Usage

TAG = "2.19.3-pg17"
"""The tag of the official image that the compose file names where nobody says another: a version that hyperferry is tested on."""


@dataclass(frozen=True)
class Ready:
    """One of the files. `place` is where its tool looks for it; `then` is what to do with it."""

    name: str
    source: str
    place: str
    then: str


KINDS = {
    each.name: each
    for each in (
        Ready(
            "github",
            "github.yml",
            ".github/workflows/migrations.yml",
            "commit it: it runs when migrations change.",
        ),
        Ready(
            "gitlab",
            "gitlab.yml",
            ".gitlab/migrations.gitlab-ci.yml",
            "in .gitlab-ci.yml: include: [{ local: .gitlab/migrations.gitlab-ci.yml }]",
        ),
        Ready(
            "compose",
            "compose.yml",
            "compose.timescaledb.yml",
            "POSTGRES_PASSWORD=... docker compose -f compose.timescaledb.yml up --wait",
        ),
    )
}


def text_of(kind: str, *, tag: str | None = None) -> str:
    """The file. `tag`: of the image, in the compose file. Raises Usage for a kind that is none, a tag that is not pinned."""
    if kind not in KINDS:
        raise Usage(f"There is no ready file for {kind}.", remedy=f"there are {', '.join(KINDS)}.")
    text = resources.files(__package__).joinpath(KINDS[kind].source).read_text(encoding="utf-8")
    if tag is None:
        return text
    if kind != "compose":
        raise Usage("--tag is the image's, which the compose file alone names.", remedy="leave it out.")
    if not tag or "latest" in tag or not all(each.isalnum() or each in "._-" for each in tag):
        raise Usage(
            f"The tag {tag!r} pins nothing.",
            remedy=f"name a version of TimescaleDB with PostgreSQL's, such as {TAG}: what production has.",
        )
    return text.replace(TAG, tag)


def write(kind: str, target: Path | None, *, tag: str | None = None, force: bool = False) -> Path:
    """Writes the file to where its tool looks for it, or to `target`; its path. Raises Refused where something is there."""
    text = text_of(kind, tag=tag)
    path = target or Path(KINDS[kind].place)
    if path.exists() and not force:
        raise Refused(
            f"{path} is there already.", remedy="name another with --output, or replace it with --force."
        )
    if path.is_dir():
        raise Usage(f"{path} is a folder.", remedy="name a file with --output.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path
