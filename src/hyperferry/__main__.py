"""`python -m hyperferry` is `hyperferry`."""

from __future__ import annotations

from hyperferry.cli import main

main()
