"""The ready files: read by a YAML parser, and held against what GitHub, GitLab and Compose ask of the keys that matter.

The schemas here are written by hand after the tools' public ones: every key that our files use is known and of the right kind, every
key that must be there is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from hyperferry import ready
from hyperferry.cli import cli

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "items": TEXT, "minItems": 1}
VARIABLES = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}


def strict(required: list[str], **properties: Any) -> dict[str, Any]:
    """An object of these keys and no other."""
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


STEP = {
    "type": "object",
    "properties": {"name": TEXT, "uses": {"type": "string", "pattern": r"^[\w-]+/[\w-]+@v\d+$"}, "run": TEXT, "with": VARIABLES, "env": VARIABLES, "if": TEXT},
    "additionalProperties": False,
    "oneOf": [{"required": ["uses"]}, {"required": ["run"]}],
}
JOB = strict(["runs-on", "steps"], **{"runs-on": TEXT, "timeout-minutes": {"type": "integer", "minimum": 1}, "container": TEXT, "steps": {"type": "array", "items": STEP, "minItems": 1}, "strategy": {"type": "object"}})
GITHUB = strict(
    ["on", "jobs"],
    name=TEXT,
    on={"type": "object", "propertyNames": {"enum": ["push", "pull_request", "workflow_dispatch"]}},
    permissions={"type": "object", "additionalProperties": {"enum": ["read", "write", "none"]}},
    concurrency=strict(["group"], **{"group": TEXT, "cancel-in-progress": {"type": "boolean"}}),
    jobs={"type": "object", "propertyNames": {"pattern": r"^[A-Za-z_][\w-]*$"}, "additionalProperties": JOB, "minProperties": 1},
)
GITLAB_JOB = strict(
    ["script"],
    stage={"enum": [".pre", "build", "test", "deploy", ".post"]},
    image=TEXT,
    timeout={"type": "string", "pattern": r"^\d+ (minutes|hours)$"},
    interruptible={"type": "boolean"},
    variables=VARIABLES,
    cache=strict(["paths"], key=TEXT, paths=TEXTS),
    rules={"type": "array", "items": strict(["if"], **{"if": {"type": "string", "pattern": r"^\$CI_"}})},
    before_script=TEXTS,
    script=TEXTS,
    artifacts=strict(["paths"], when={"enum": ["on_success", "on_failure", "always"]}, paths=TEXTS, expire_in=TEXT),
)
DURATION = {"type": "string", "pattern": r"^(\d+(ms|s|m|h))+$"}
SERVICE = strict(
    ["image"],
    image={"type": "string", "pattern": r"^timescale/timescaledb:\$\{TIMESCALEDB_TAG:-[\w.-]+\}$"},
    restart={"enum": ["no", "always", "on-failure", "unless-stopped"]},
    environment=VARIABLES,
    command=TEXTS,
    ports={"type": "array", "items": {"type": "string", "pattern": r"^127\.0\.0\.1:\$\{\w+:-\d+\}:\d+$"}},
    volumes=TEXTS,
    shm_size={"type": "string", "pattern": r"^\d+(b|kb|mb|gb)$"},
    healthcheck=strict(["test"], test={"type": "array", "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}], "items": TEXT}, interval=DURATION, timeout=DURATION, retries={"type": "integer"}, start_period=DURATION),
    stop_grace_period=DURATION,
)  # fmt: skip
COMPOSE = strict(
    ["services"],
    name={"type": "string", "pattern": r"^[a-z0-9][a-z0-9_-]*$"},
    services={"type": "object", "additionalProperties": SERVICE, "minProperties": 1},
    volumes={"type": "object", "additionalProperties": {"type": ["object", "null"]}},
)


class Loader(yaml.SafeLoader):
    """YAML 1.2, as these tools read it: `on` is a word, and a key stands once."""


Loader.yaml_implicit_resolvers = {
    first: [each for each in found if each[0] != "tag:yaml.org,2002:bool"] for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), list("tf"))


def _once(loader: Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]  # type: ignore[no-untyped-call]
    assert len(keys) == len(set(keys)), f"a key stands twice: {keys}"
    return dict(loader.construct_pairs(node, deep=True))  # type: ignore[no-untyped-call]


Loader.add_constructor("tag:yaml.org,2002:map", _once)


def read(kind: str) -> Any:
    return yaml.load(ready.text_of(kind), Loader)


def held(schema: dict[str, Any], value: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(value)


def shell(script: str) -> None:
    """It parses, and its call of hyperferry is one that there is."""
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    for line in script.splitlines():
        if line.startswith("hyperferry "):
            words = line.partition(" > ")[0].split()[1:]
            cli.commands[words[0]].make_context(words[0], words[1:])


def test_the_workflow() -> None:
    workflow = read("github")
    held(GITHUB, workflow)
    (job,) = workflow["jobs"].values()
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    for script in scripts:
        shell(script)
    assert any("hyperferry check-migrations" in script for script in scripts)
    assert job["container"].startswith("python:3.")
    assert "latest" not in job["container"]


def test_the_job() -> None:
    pipeline = read("gitlab")
    assert list(pipeline) == ["check-migrations"]
    held(GITLAB_JOB, pipeline["check-migrations"])
    job = pipeline["check-migrations"]
    shell("\n".join([*job["before_script"], *job["script"]]))
    assert job["artifacts"]["paths"][0] in job["script"][0]


def test_the_compose_file() -> None:
    compose = read("compose")
    held(COMPOSE, compose)
    (service,) = compose["services"].values()
    assert [each.partition(":")[0] for each in service["volumes"]] == list(compose["volumes"]), "named volumes are declared"
    assert service["environment"]["PGDATA"].startswith(service["volumes"][0].partition(":")[2] + "/"), "the data is in the volume"
    options = dict(each.split("=", 1) for flag, each in zip(service["command"][1::2], service["command"][2::2], strict=True) if flag == "-c")
    assert options["shared_preload_libraries"].split(",")[0] == "timescaledb"
    assert int(options["max_locks_per_transaction"]) > 64
    assert int(options["max_worker_processes"]) > int(options["timescaledb.max_background_workers"])
    assert service["healthcheck"]["test"][1].count("$$POSTGRES_") == 2, "the container's own variables, not compose's"
    assert "latest" not in ready.text_of("compose")
    assert "timescaledb:${TIMESCALEDB_TAG:-2.30.1-pg18}" in ready.text_of("compose", tag="2.30.1-pg18")


def test_compose_itself_reads_it(tmp_path: Path) -> None:
    if shutil.which("docker") is None or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0:
        pytest.skip("there is no docker compose on this machine")
    path = ready.write("compose", tmp_path / "compose.yml")
    done = subprocess.run(["docker", "compose", "-f", str(path), "config"], env={**os.environ, "POSTGRES_PASSWORD": "x"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "timescale/timescaledb:2.19.3-pg17" in done.stdout


def test_files_are_written_where_they_belong_and_never_over_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ready.KINDS.values():
        assert ready.write(kind.name, None).read_text("utf-8") == ready.text_of(kind.name)
        assert (tmp_path / kind.place).is_file()
    runner = CliRunner()
    (tmp_path / "compose.timescaledb.yml").write_text("mine", "utf-8")
    assert "is there already" in str(runner.invoke(cli, ["ci", "init", "compose"]).exception)
    assert "pins nothing" in str(runner.invoke(cli, ["ci", "init", "compose", "--tag", "latest-pg17", "--force"]).exception)
    assert (tmp_path / "compose.timescaledb.yml").read_text("utf-8") == "mine"
    assert runner.invoke(cli, ["ci", "init", "compose", "--force"]).exit_code == 0
    assert runner.invoke(cli, ["ci", "init", "gitlab", "--output", "-"]).output == ready.text_of("gitlab")
