"""The whole job on an empty clone of the table and all that hangs on it: `story.rehearse`. See README.md."""

from .options import RehearsalOptions, RehearsalReport, Status, Step
from .story import rehearse

__all__ = ["RehearsalOptions", "RehearsalReport", "Status", "Step", "rehearse"]
