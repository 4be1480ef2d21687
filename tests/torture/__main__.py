"""`python -m torture`, run from tests/: see docs/torture.md."""

from __future__ import annotations

from .command import main

if __name__ == "__main__":
    main()
