"""The command line: one file a group of commands, rendering apart. See this folder's README.md."""

from __future__ import annotations

from .main import cli, main

__all__ = ["cli", "main"]
