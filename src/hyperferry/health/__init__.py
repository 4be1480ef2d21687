"""What a hypertable needs: facts in, findings and figures out, no I/O. See README.md."""

from .bloat import Bloat, index_bloat, table_bloat
from .figures import figures
from .registry import RULES, run

__all__ = ["RULES", "Bloat", "figures", "index_bloat", "run", "table_bloat"]
