"""Writes docs/peers.md."""

from .page import FILE, text

FILE.write_text(text(), "utf-8")
