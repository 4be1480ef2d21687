"""A hypertable's health looked at, and its chunks kept well one after the other. See README.md."""

from .drop import DropOptions, drop_chunks, dropped_json
from .look import LookOptions, look
from .options import Kind, MaintainOptions, MaintainReport
from .story import maintain
from .window import Window, parse_window

__all__ = [
    "DropOptions",
    "Kind",
    "LookOptions",
    "MaintainOptions",
    "MaintainReport",
    "Window",
    "drop_chunks",
    "dropped_json",
    "look",
    "maintain",
    "parse_window",
]
