"""How Alembic comes to know of the operations and comparisons: as a plugin from 1.18 on, else by an import.

Nothing of Alembic is imported with this module: it is loaded while Alembic itself is.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

NAME = "alembic.autogenerate.hyperferry"
"""Under this name Alembic takes it in without being told. `autogenerate_plugins=["alembic.autogenerate.*",
"~alembic.autogenerate.hyperferry"]` in env.py leaves its comparisons out."""

_done = False


def setup(plugin: Any) -> None:
    """Called by Alembic (1.18+) with its Plugin: operations and comparisons."""
    global _done
    from alembic.util import DispatchPriority

    from . import compare, impl

    impl.register()
    plugin.add_autogenerate_comparator(compare.leave_ours_out, "schema", priority=DispatchPriority.FIRST)
    plugin.add_autogenerate_comparator(compare.options, "table", priority=DispatchPriority.LAST)
    _done = True


def ensure(alembic: ModuleType) -> None:
    """The same for who imports it: an Alembic before 1.18, or one that does not see our entry point."""
    global _done
    if _done or not hasattr(alembic, "__version__"):  # else it is just being imported, and calls setup
        return
    try:
        from alembic.runtime.plugins import Plugin
    except ModuleNotFoundError:
        _before_plugins()
        _done = True
        return
    Plugin.setup_plugin_from_module(sys.modules[__name__], NAME)


def _before_plugins() -> None:
    from alembic.autogenerate import comparators

    from . import compare, impl

    impl.register()
    comparators.dispatch_for("schema")(compare.leave_ours_out)
    # Before Alembic's own, which would have looked at everything by then.
    registered = comparators._registry["schema", "default"]
    registered.insert(0, registered.pop())
    comparators.dispatch_for("table")(compare.options)
