"""The change log's writers. See README.md."""

from .functions import function_statements, grant_statements, sleep_statements, wake_statements
from .triggers import (
    drop_trigger_statements,
    follow_owner,
    install_forward,
    install_reverse,
    trigger_names,
    trigger_statements,
)

__all__ = [
    "drop_trigger_statements",
    "follow_owner",
    "function_statements",
    "grant_statements",
    "install_forward",
    "install_reverse",
    "sleep_statements",
    "trigger_names",
    "trigger_statements",
    "wake_statements",
]
