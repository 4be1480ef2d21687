"""The flag in an application: the environment, the database, a database that is away, forked processes."""

from __future__ import annotations

import gc
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperferry.flag import Flag, by_psycopg
from hyperferry.flag.flag import NAME
from hyperferry.flag.setting import put, settings, take
from servers import Database


def within(seconds: float, done: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.02)
    return False


def test_the_environment_alone(caplog: pytest.LogCaptureFixture) -> None:
    environ: dict[str, str] = {}
    flag = Flag(environ=environ)
    assert not flag()
    environ[NAME] = "on"
    assert flag()
    environ[NAME] = "off"
    assert not flag()
    environ[NAME] = "50%"
    assert {flag() for _ in range(200)} == {True, False}
    assert len({flag("one user") for _ in range(50)}) == 1
    with caplog.at_level(logging.WARNING, "hyperferry.flag"):
        environ[NAME] = "yess"
        assert [flag(), flag()] == [False, False]
    assert len(caplog.records) == 1
    assert "'yess' is none of" in caplog.text


def test_the_environment_comes_before_the_database() -> None:
    environ: dict[str, str] = {}
    flag = Flag(lambda: 100.0, environ=environ)
    assert flag()
    environ[NAME] = "off"
    assert not flag()
    for leaves_it in ("database", "", "  "):
        environ[NAME] = "off"
        assert not flag()
        environ[NAME] = leaves_it
        assert flag()
    flag.close()


def test_a_lock_that_a_thread_held_at_a_fork_keeps_nobody_waiting() -> None:
    flag = Flag(lambda: 100.0, environ={})
    watch = flag._watch
    assert watch is not None
    with watch._lock, watch._saying:
        watch.forked()
        assert not watch._lock.locked()
        assert not watch._saying.locked()
    flag.close()


def test_an_answer_never_waits_for_the_database_again(caplog: pytest.LogCaptureFixture) -> None:
    """What it said last goes on while it is away, and one line is logged."""
    answers: list[Callable[[], float]] = [lambda: 100.0]

    def read() -> float:
        return answers[-1]()

    def away() -> float:
        raise OSError("no route")

    hanging, let_go = threading.Event(), threading.Event()

    def hangs() -> float:
        hanging.set()
        assert let_go.wait(60)
        return 0.0

    flag = Flag(read, environ={}, refresh_seconds=0.02)
    assert flag()
    with caplog.at_level(logging.WARNING, "hyperferry.flag"):
        answers.append(away)
        assert within(60, lambda: bool(caplog.records))
        time.sleep(0.1)
        assert flag()
    assert [record.getMessage() for record in caplog.records] == [
        f"{NAME} could not be read from the database (no route); it stays on"
    ]
    answers.append(hangs)
    assert hanging.wait(60)
    began = time.monotonic()
    assert flag()
    assert time.monotonic() - began < 20  # the hanging read ends after sixty
    let_go.set()
    assert within(60, lambda: not flag())
    flag.close()


def test_an_answer_that_comes_late_does_not_undo_a_newer_one() -> None:
    """The thread asked before `refresh` did, and is answered after it."""
    late, again, let_go = threading.Event(), threading.Event(), threading.Event()

    def read() -> float:
        if threading.current_thread().name != "hyperferry flag":
            return 100.0
        if late.is_set():
            again.set()
            assert let_go.wait(60)
            return 100.0
        late.set()
        assert let_go.wait(60)
        let_go.clear()
        return 0.0

    flag = Flag(read, environ={}, refresh_seconds=0.02)
    assert flag()
    assert late.wait(60)
    assert flag.refresh() == 100
    let_go.set()
    assert again.wait(60)
    assert flag.share == 100
    let_go.set()
    flag.close()


def test_a_database_that_was_never_there_means_off() -> None:
    flag = Flag(by_psycopg("host=127.0.0.1 port=1"), environ={})
    assert not flag()
    flag.close()


def test_the_thread_ends_with_the_flag() -> None:
    before = set(threading.enumerate())
    flag = Flag(lambda: 0.0, environ={}, refresh_seconds=0.01)
    flag()
    # By name: threads of tests before this one may end meanwhile.
    (thread,) = [each for each in set(threading.enumerate()) - before if each.name == "hyperferry flag"]
    assert not within(0.1, lambda: not thread.is_alive())
    del flag
    gc.collect()
    assert within(60, lambda: not thread.is_alive())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_process_forked_while_a_thread_asks_asks_for_itself() -> None:
    """Servers fork when the application is loaded, which may be while the first answer is waited for; the child waits for nobody."""
    code = (
        "import os, threading, time; from hyperferry.flag import Flag\n"
        "parent, asking = os.getpid(), threading.Event()\n"
        "def read():\n"
        "    asking.set()\n"
        "    if os.getpid() == parent: time.sleep(600)\n"
        "    return 100.0\n"
        "flag = Flag(read, environ={}); threading.Thread(target=flag, daemon=True).start(); asking.wait()\n"
        "child = os.fork()\n"
        "if child == 0: print(flag(), flush=True); os._exit(0)\n"
        "os.waitpid(child, 0); os._exit(0)\n"
    )
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.communicate(timeout=100)[0] == "True\n"
    finally:
        process.kill()
        process.communicate()


def test_a_change_is_seen_within_seconds_by_all_processes(db: Database) -> None:
    code = (
        "import sys, time; from hyperferry.flag import Flag, by_psycopg\n"
        "flag = Flag(by_psycopg(sys.argv[1]), environ={}); print(flag(), flush=True)\n"
        "while not flag(): time.sleep(0.05)\n"
        "print('on', flush=True)\n"
        "while flag(): time.sleep(0.05)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, db.dsn], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    try:
        assert all(process.stdout and process.stdout.readline() == "False\n" for process in processes)
        put(db.dsn, "on")
        began = time.monotonic()
        assert all(process.stdout and process.stdout.readline() == "on\n" for process in processes)
        assert time.monotonic() - began < 20  # two seconds, on a machine that does other things besides
        take(db.dsn)
        assert [process.wait(60) for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_asks_for_itself(db: Database) -> None:
    """Servers load the application, and then fork: threads and connections do not come along."""
    code = (
        "import os, sys, time; from hyperferry.flag import Flag, by_psycopg\n"
        "flag = Flag(by_psycopg(sys.argv[1]), environ={}, refresh_seconds=0.1); assert not flag()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    print('ready', flush=True)\n"
        "    while not flag(): time.sleep(0.05)\n"
        "    os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)\n"
        "while not flag(): time.sleep(0.05)\n"
        "print('parent', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, db.dsn], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        put(db.dsn, "on")
        assert [process.stdout.readline(), process.stdout.readline()] == ["7\n", "parent\n"]
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_connection_that_was_lost_is_made_anew(db: Database) -> None:
    put(db.dsn, "on")
    flag = Flag(by_psycopg(db.dsn), environ={}, refresh_seconds=0.05)
    assert flag()
    db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hyperferry flag' AND datname = current_database()")
    put(db.dsn, "off")
    assert within(60, lambda: not flag())
    flag.close()


def test_a_role_comes_before_all(db: Database) -> None:
    role = db.make_role()
    put(db.dsn, "off")
    put(db.dsn, "on", role=role)
    assert [(each.role, each.text) for each in settings(db.dsn)] == [("", "off"), (role, "on")]
    everybody, one = Flag(by_psycopg(db.dsn), environ={}), Flag(by_psycopg(db.dsn_as(role)), environ={})
    assert [everybody(), one()] == [False, True]
    take(db.dsn, role=role)
    assert one.refresh() == 0
    everybody.close()
    one.close()


def test_flags_of_other_names_are_others(db: Database) -> None:
    put(db.dsn, "on", name="USE_HYPERTABLES_REPORTS")
    assert settings(db.dsn) == ()
    assert Flag(by_psycopg(db.dsn, name="USE_HYPERTABLES_REPORTS"), environ={}, name="USE_HYPERTABLES_REPORTS").refresh() == 100


def test_two_who_set_it_first_at_once(db: Database) -> None:
    failed: list[Exception] = []

    def act() -> None:
        try:
            put(db.dsn, "25%")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=act) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [each.share for each in settings(db.dsn)] == [25.0]


def test_an_application_imports_nothing_of_ours_but_the_flag() -> None:
    code = (
        "import sys; from hyperferry.flag import use_hypertables; use_hypertables()\n"
        "print(sorted(n for n in sys.modules if n.startswith(('hyperferry.', 'psycopg', 'click', 'rich', 'pydantic'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['hyperferry.flag', 'hyperferry.flag.connected', 'hyperferry.flag.flag', 'hyperferry.flag.share', 'hyperferry.flag.watch']"


def test_the_page_runs(db: Database) -> None:
    page = (Path(__file__).parents[2] / "docs" / "flag.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    put(db.dsn, "on")
    said: dict[str, object] = {"DSN": db.dsn}
    exec(block, said)
    assert said["query"] == "hourly view"
