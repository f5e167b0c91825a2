"""The chart as Helm renders it, and its containers run with the programs of this machine.

A container of the chart gets what its pod says: command and arguments, variables, user, volumes, a read-only root and a network of its
own. In place of its image stand this machine's own programs, or the root that is made of the Dockerfile.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import container
import dockerfile
import pytest
import support
import yaml

CHART = dockerfile.ROOT / "helm/rae-memory"
NAMES = ["nsswitch.conf", "hosts", "ld.so.cache", "localtime", "ssl", "alternatives", "postgresql-common"]


def render(values: dict, name="rae-memory", upgrade=False) -> list[dict]:
    """Every object, by the engine of Helm 4 that lies on PyPI."""
    helm = pytest.importorskip("helm_python.chart", reason="helm-python-sdk has no build for this machine")
    with helm.Chart.load(CHART) as loaded:
        files = loaded.render(values=values, name=name, namespace="rae-memory", is_upgrade=upgrade)
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


def pick(objects: list[dict], kind: str, name: str) -> dict:
    [found] = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    return found


class Pod:
    """One pod on this machine: its volumes are folders, its ConfigMaps are files, its secrets are those that the test gives."""

    def __init__(self, objects: list[dict], spec: dict, secrets: dict[str, str], folder: Path, programs: list[str]):
        self.objects, self.spec, self.secrets, self.folder, self.programs = objects, spec, secrets, folder, programs
        self.uid = spec["securityContext"]["runAsUser"]
        self.files: dict[str, Path] = {}  # what the image has and this machine has not, by its path
        folder.chmod(0o755)
        self.volumes = {volume["name"]: self.volume(volume) for volume in spec["volumes"]}

    def volume(self, volume: dict) -> Path:
        place = self.folder / "volumes" / volume["name"]
        place.mkdir(parents=True, exist_ok=True)
        if "configMap" in volume:
            data = pick(self.objects, "ConfigMap", volume["configMap"]["name"])["data"]
            items = volume["configMap"].get("items") or [{"key": key, "path": key} for key in data]
            for item in items:
                (place / item["path"]).write_text(data[item["key"]])
        else:
            # fsGroup: the folder is root's, and the group may write.
            os.chown(place, 0, self.spec["securityContext"]["fsGroup"])
            place.chmod(0o2775)
        return place

    def environment(self, one: dict) -> dict[str, str]:
        found = {}
        for variable in one.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference and reference["key"] in self.secrets:
                found[variable["name"]] = self.secrets[reference["key"]]
            elif not reference:
                found[variable["name"]] = variable["value"]
        return found

    def words(self, one: dict, command: list[str], env: dict[str, str], root: Path, network: bool) -> list[str]:
        group = self.spec["securityContext"]["runAsGroup"]
        fs_group = self.spec["securityContext"]["fsGroup"]
        words = ["setpriv", f"--reuid={self.uid}", f"--regid={group}", f"--groups={fs_group}", "bwrap", "--unshare-all"]
        words += ["--share-net"] if network else []
        for name in ("bin", "sbin", "lib", "lib64"):
            if (root / name).is_symlink():
                words += ["--symlink", os.readlink(root / name), f"/{name}"]
            elif (root / name).exists():
                words += ["--ro-bind", f"{root}/{name}", f"/{name}"]
        words += [
            "--ro-bind",
            str(root / "usr"),
            "/usr",
            "--tmpfs",
            "/etc",
            "--tmpfs",
            "/var",
            "--symlink",
            "/run",
            "/var/run",
        ]
        for name in NAMES:
            words += ["--ro-bind-try", f"{root}/etc/{name}", f"/etc/{name}"]
        # The images have users for their servers; this machine need not.
        users = self.folder / "passwd"
        users.write_text(f"image:x:{self.uid}:{group}::/tmp:/bin/sh\n")
        words += ["--ro-bind", str(users), "/etc/passwd"]
        words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run"]
        for mount in one["volumeMounts"]:
            source = self.volumes[mount["name"]] / mount.get("subPath", "")
            target = mount["mountPath"].replace("/var/run/", "/run/")
            words += ["--ro-bind" if mount.get("readOnly") else "--bind", str(source), target]
        for target, source in self.files.items():
            words += ["--ro-bind", str(source), target]
        for place in ("/", "/etc", "/var", "/run"):
            words += ["--remount-ro", place]
        words += ["--cap-drop", "ALL", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"]
        path = ":".join([*self.programs, "/usr/local/bin", "/usr/bin", "/bin"])
        for name, value in {"PATH": path, "LANG": "C.UTF-8", **self.environment(one), **env}.items():
            words += ["--setenv", name, value]
        return [*words, *command]

    def run(self, one: dict, command: list[str] | None = None, env=None, root=Path("/"), network=False):
        """A container to its end, or another command in its place."""
        command = command or [*one.get("command", []), *one.get("args", [])]
        words = self.words(one, command, env or {}, root, network)
        return subprocess.run(words, capture_output=True, text=True, timeout=120)

    @contextlib.contextmanager
    def running(self, one: dict, command: list[str] | None = None, stop=signal.SIGTERM):
        """A container that serves. Yields a function that runs a command in it, as `kubectl exec` does."""
        read, write = os.pipe()
        command = command or [*one.get("command", []), *one.get("args", [])]
        words = self.words(one, command, {}, Path("/"), False)
        at = words.index("--unshare-all")
        words[at:at] = ["--info-fd", str(write)]
        log = self.folder / "log"
        with log.open("a") as out:
            process = subprocess.Popen(words, stdout=out, stderr=out, pass_fds=[write])
        os.close(write)
        told = b""
        while b"}" not in told and (piece := os.read(read, 4096)):
            told += piece
        os.close(read)
        assert told, log.read_text()
        pid = json.loads(told)["child-pid"]
        path = ":".join([*self.programs, "/usr/local/bin", "/usr/bin", "/bin"])

        def execute(*words: str, env=True):
            whole = {"PATH": path, **(self.environment(one) if env else {})}
            enter = ["nsenter", f"--target={pid}", "--mount", "--net", "--pid", "--ipc", "--", "setpriv"]
            enter += [f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
            return subprocess.run([*enter, *words], capture_output=True, text=True, env=whole, timeout=60)

        execute.pid, execute.process, execute.log = pid, process, log
        try:
            yield execute
            os.kill(pid, stop)
            assert process.wait(30) == 0, log.read_text()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def probed(self, one: dict, execute, name="startupProbe") -> None:
        """Asks the probe as often as the kubelet would, but faster."""
        command = one[name]["exec"]["command"]
        end = time.monotonic() + support.LIMIT
        while (done := execute(*command)).returncode != 0:
            assert execute.process.poll() is None, execute.log.read_text()
            assert time.monotonic() < end, f"{name}: {done.stdout}{done.stderr}{execute.log.read_text()}"
            time.sleep(0.1)


@contextlib.contextmanager
def folder():
    container.need_sandbox()
    place = support.owned("rae-pod-", 0, 0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
