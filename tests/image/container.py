"""A root file system from the Dockerfile's own list, and programs in it as a container would run them.

The packages are those that apt resolves for an empty Debian with what the base image has (everything of priority "required") and
what the Dockerfile installs. They are unpacked, not configured; then the Dockerfile's own commands for users and folders run in it.
Programs run by bubblewrap as the image's user: a read-only root, nothing but the declared folders to write, no capabilities, no new
privileges, and as process 1.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import dockerfile
import pytest
from support import UID


def suite_of_base() -> str:
    return re.match(r"debian:(\w+)-slim", dockerfile.read()[1][-1].base)[1]


def need_sandbox() -> None:
    """Skips, and says why, where no root can be assembled or no user namespace made."""
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed: apt-get install bubblewrap")
    if os.geteuid() != 0:
        pytest.skip("root is needed to assemble the image's root file system with its owners")
    tried = subprocess.run(
        [
            "setpriv",
            f"--reuid={UID}",
            f"--regid={UID}",
            "--clear-groups",
            *["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"],
        ],
        capture_output=True,
        text=True,
    )
    if tried.returncode != 0:
        pytest.skip(f"bubblewrap cannot make a user namespace here: {tried.stderr.strip()}")


def need_apt() -> None:
    release = Path("/etc/os-release").read_text()
    if not shutil.which("apt-get") or f"VERSION_CODENAME={suite_of_base()}" not in release:
        pytest.skip(f"this is not Debian {suite_of_base()}, of which the image is made: its packages cannot be fetched")


def packages(wanted: list[str], scratch: Path) -> list[str]:
    """What apt would install on nothing at all."""
    known = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True).stdout
    # One paragraph a package; only those lines count.
    required = [
        paragraph.partition("\n")[0].removeprefix("Package: ")
        for paragraph in known.split("\n\n")
        if "\nPriority: required\n" in paragraph
    ]
    assert len(required) > 20, "apt knows no packages: apt-get update"
    (scratch / "status").touch()
    done = subprocess.run(
        [
            *["apt-get", "install", "--simulate", "--no-install-recommends"],
            *["-o", f"Dir::State::status={scratch}/status", *dict.fromkeys([*required, "apt", *wanted])],
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return re.findall(r"^Inst (\S+) \((\S+)", done.stdout, re.M)


def fetch(names: list[tuple[str, str]], folder: Path) -> list[Path]:
    """The packages' files; those of an earlier run are used again."""
    folder.mkdir(parents=True, exist_ok=True)

    def file(name, version):
        return next(folder.glob(f"{name}_{version.replace(':', '%3a')}_*.deb"), None)

    missing = [f"{name}={version}" for name, version in names if not file(name, version)]
    if missing:
        done = subprocess.run(["apt-get", "download", "-qq", *missing], cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"Debian's packages cannot be fetched: {done.stderr.strip()[-300:]}")
    return [file(name, version) for name, version in names]


def assemble(root: Path, binary: Path, cache: Path) -> list[str]:
    """Makes the root; answers the names of the packages in it."""
    _, stages = dockerfile.read()
    final = stages[-1]
    root.mkdir(mode=0o755)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("proc", "dev", "tmp", "run", "sys"):
        (root / name).mkdir()
    chosen = packages(final.packages(), root.parent)
    for file in fetch(chosen, cache):
        unpacked = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE)
        subprocess.run(["tar", "-xp", "--keep-directory-symlink", "-C", root], stdin=unpacked.stdout, check=True)
        assert unpacked.wait() == 0, file
    # What base-passwd does when it is configured.
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    for command in final.commands():
        words = shlex.split(command)
        if words[0] in ("groupadd", "useradd") or words[:2] == ["install", "-d"]:
            inside = ["bwrap", "--bind", str(root), "/", "--dev", "/dev", "--proc", "/proc", "--unshare-pid", *words]
            done = subprocess.run(inside, capture_output=True, text=True, env={"PATH": "/usr/sbin:/usr/bin"})
            assert done.returncode == 0, f"{command}: {done.stderr}"
    [copy] = [line for line in final.all("COPY") if "--from=build" in line]
    target = root / copy.split()[-1].lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(binary, target)
    target.chmod(0o755)
    return [name for name, _ in chosen]


@dataclass
class Running:
    """A container's process 1."""

    process: subprocess.Popen
    log: Path
    pid: int

    def signal(self, by: int) -> None:
        os.kill(self.pid, by)

    def text(self) -> str:
        return self.log.read_text()


class Container:
    """One image's root, in which programs run."""

    def __init__(self, root: Path, logs: Path):
        self.root, self.logs, self.count = root, logs, 0
        _, stages = dockerfile.read()
        self.image = stages[-1]

    def command(
        self, arguments: list[str], environment: dict[str, str], entry: bool, writable: dict[str, Path]
    ) -> list[str]:
        words = [
            "setpriv",
            f"--reuid={UID}",
            f"--regid={UID}",
            "--clear-groups",
            "bwrap",
            "--unshare-all",
            "--share-net",
        ]
        words += ["--ro-bind", str(self.root), "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
        for place in self.image.folders():
            words += ["--bind", str(writable[place]), place] if place in writable else ["--tmpfs", place]
        words += ["--cap-drop", "ALL", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"]
        whole = {"PATH": "/usr/local/bin:/usr/bin:/bin", **self.image.environment(), **environment}
        for name, value in whole.items():
            words += ["--setenv", name, value]
        words += ["--chdir", self.image.last("WORKDIR"), "--info-fd", "3"]
        return words + (json.loads(self.image.last("ENTRYPOINT")) if entry else []) + arguments

    def run(self, *arguments: str, env=None, entry=True, writable=None) -> subprocess.CompletedProcess:
        """To its end."""
        words = self.command(list(arguments), env or {}, entry, writable or {})
        at = words.index("--info-fd")
        del words[at : at + 2]
        return subprocess.run(words, capture_output=True, text=True, timeout=120)

    def start(self, *arguments: str, env=None, writable=None) -> Running:
        self.count += 1
        log = self.logs / f"{self.count}-{arguments[0]}.log"
        read, write = os.pipe()
        words = self.command(list(arguments), env or {}, True, writable or {})
        words[words.index("--info-fd") + 1] = str(write)
        with log.open("w") as out:
            process = subprocess.Popen(words, stdout=out, stderr=out, pass_fds=[write])
        os.close(write)
        told = b""
        end = time.monotonic() + 20
        while b"}" not in told and time.monotonic() < end:
            piece = os.read(read, 4096)
            if not piece:
                break
            told += piece
        os.close(read)
        assert b"}" in told, f"bubblewrap did not start: {log.read_text()}"
        return Running(process, log, json.loads(told)["child-pid"])
