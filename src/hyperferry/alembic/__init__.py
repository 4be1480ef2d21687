"""hyperferry in Alembic: operations for hypertables, a guard for large tables, and an autogenerate that knows what is not
the application's.

From Alembic 1.18 on nothing has to be done: it loads the plugin by its entry point. Before, one line in env.py does:

    import hyperferry.alembic
"""

from __future__ import annotations

try:
    import alembic
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "hyperferry.alembic needs Alembic: pip install 'hyperferry[alembic]'", name=error.name
    ) from None

from .plugin import ensure

ensure(alembic)
