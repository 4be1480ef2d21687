"""Debian's packages by apt's own client, with a state of our own: the machine's packages are not touched."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperferry.errors import Failed

__all__ = ["Package", "Repository", "machine_mirror"]

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

#: Only programs and libraries are wanted; these come along as dependencies of installation scripts, of
#: other programs in a package, or of just-in-time compilation.
LEFT_OUT = re.compile(
    r"""^(
        perl.* | libperl.* | lib.*-perl | locales | libc-l10n | libc-gconv-modules-extra | libllvm.* |
        postgresql-\d+-jit | systemd.* | libsystemd-shared | sysvinit-utils | debconf | libdebconfclient0 |
        passwd | login.* | adduser | base-passwd | ucf | ssl-cert | sensible-utils | procps | libproc2.* |
        netbase | openssl | openssl-provider-legacy | readline-common | libpam-modules.* | libpam-runtime |
        postgresql-common.* | postgresql-client-common | libgdbm.* | libsemanage.* | libsepol.*
    )$""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Package:
    """One package and its version."""

    name: str
    version: str


def machine_mirror() -> str:
    """The address of Debian's archive that this machine's apt uses; raises `Failed` where there is none."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise Failed(
                "This machine has no apt, so Debian's packages cannot be fetched.",
                facts={"missing": program},
            )
    targets = _run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)", "Created-By: Packages"]
    )
    seen = [line.split("|") for line in targets.splitlines() if line.count("|") == 2]
    system = _os_release()
    names = {"stable", "testing", "sid", "unstable", "trixie", "forky", system.get("VERSION_CODENAME", "")}
    if system.get("ID") != "debian":
        names.discard(system.get("VERSION_CODENAME", ""))
    for address, suite, component in seen:
        if component == "main" and suite in names and KEYRING.exists():
            return address
    raise Failed(
        "This machine's apt does not know Debian's archive, or not the keys that sign it.",
        facts={
            "system": system.get("PRETTY_NAME", "unknown"),
            "keyring": f"{KEYRING} ({'there' if KEYRING.exists() else 'missing'})",
            "suites that apt knows": ", ".join(sorted({suite for _, suite, _ in seen})) or "none",
        },
    )


class Repository:
    """One suite of Debian's archive at `mirror`, with apt's state and cache under `folder`."""

    def __init__(self, folder: Path, mirror: str, suite: str) -> None:
        self.folder = folder
        self.suite = suite
        self._config = folder / "apt.conf"
        for part in ("state/lists/partial", "cache/archives/partial", "empty.d", "packages"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        architecture = _run(["dpkg", "--print-architecture"]).strip()
        (folder / "debian.sources").write_text(
            f"Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\n"
            f"Architectures: {architecture}\nSigned-By: {KEYRING}\n",
            encoding="utf-8",
        )
        self._config.write_text(_configuration(folder), encoding="utf-8")

    def update(self) -> None:
        """Fetch the suite's list of packages and check its signature."""
        self._apt("update")

    def resolve(self, names: Sequence[str]) -> list[Package]:
        """What `names` need on an empty machine, without what `LEFT_OUT` names."""
        plan = self._apt("install", "--simulate", *names)
        found = re.findall(r"^Inst (\S+) \((\S+) ", plan, re.MULTILINE)
        return [Package(n, v) for n, v in found if not LEFT_OUT.match(n)]

    def download(self, packages: Sequence[Package]) -> list[Path]:
        """Fetch `packages`, checked against the signed list; the files, by name."""
        folder = self.folder / "packages"
        self._apt("download", *(f"{p.name}={p.version}" for p in packages), cwd=folder)
        files = sorted(folder.glob("*.deb"))
        if len(files) != len(packages):
            raise Failed(
                "apt did not fetch every package.", facts={"wanted": len(packages), "fetched": len(files)}
            )
        return files

    def _apt(self, *arguments: str, cwd: Path | None = None) -> str:
        return _run(["apt-get", "-c", str(self._config), "-q", "-y", *arguments], cwd=cwd)


def _configuration(folder: Path) -> str:
    # Proxies and the like stay as the machine has them; hooks are cleared: they work on its own folders.
    return f"""
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Log "{folder}";
Dir::Etc::sourcelist "{folder}/debian.sources";
Dir::Etc::sourceparts "{folder}/empty.d";
Dir::Etc::preferences "{folder}/none";
Dir::Etc::preferencesparts "{folder}/empty.d";
APT::Default-Release "";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
"""


def _run(command: Sequence[str], *, cwd: Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))] or [done.stderr]
        raise Failed(
            f"`{command[0]} {next((a for a in command[1:] if a in _VERBS), '')}` failed.",
            facts={"apt says": "; ".join(line.strip() for line in said[:3])},
        )
    return done.stdout


_VERBS = frozenset({"update", "install", "download", "indextargets"})


def _os_release() -> dict[str, str]:
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key: value.strip().strip("\"'") for key, value in pairs}
