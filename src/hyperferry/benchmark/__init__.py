"""The application's queries on the plain table and on the hypertable, side by side: `story.bench`. See README.md."""

from .kept import as_json, from_text, to_text
from .options import BenchOptions, Report
from .story import bench, write_template

__all__ = ["BenchOptions", "Report", "as_json", "bench", "from_text", "to_text", "write_template"]
