"""A rehearsal from its first step to its last."""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from hyperferry.db import connect

from .clone import dump
from .job import Rehearsal
from .look import look
from .options import RehearsalOptions, RehearsalReport, Say
from .place import place
from .programs import find_programs
from .steps import check
from .surroundings import read_surroundings
from .twin import make_clone


def rehearse(
    options: RehearsalOptions, *, say: Say = lambda text: None, stop: threading.Event | None = None
) -> RehearsalReport:
    """The whole job on an empty clone. The report says what passed and what would fail.

    The real server is only read. Raises Failed where the rehearsal itself could not be run, Interrupted on `stop`; either way
    nothing is left behind.
    """
    stop = stop or threading.Event()
    began = time.monotonic()
    report = RehearsalReport()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hyperferry-rehearsal-")))
        real = look(options, report, say)
        check(stop)
        say(f"Reading the definition of {report.table} and of all around it.")
        with connect(options.dsn, purpose="rehearse") as conn:
            around = read_surroundings(conn, real.inspection.table.oid)
        server = real.inspection.server
        major = server.version_num // 10_000
        programs = find_programs(major, major, say=say, release=options.release)
        file = folder / "schema.dump"
        clone_began = time.monotonic()
        dump(programs, options.dsn, around, report.table, file, stop=stop)
        check(stop)
        say("Making a database for the rehearsal.")
        made = stack.enter_context(place(options, server, around, say))
        report.warnings += made.warnings
        clone = make_clone(real, around, programs, made, file, folder, report, clone_began, stop)
        here = made.postgres // 10_000
        if here > programs.major:
            programs = find_programs(here, here, say=say)
        Rehearsal(options, real, around, programs, made, clone, report, say, stop).run()
    report.seconds = time.monotonic() - began
    return report
