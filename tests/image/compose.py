"""The compose file with the settings of its example, loaded by the library that Docker itself loads it with."""

import json
import re
import shutil
import subprocess

import dockerfile
import pytest

ROOT = dockerfile.ROOT
FILE = ROOT / "docker-compose.yml"
SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "QDRANT_API_KEY", "RAE_API_MASTER_KEY")
OURS = {"migrate", "api", "worker", "ml", "reranker"}


@pytest.fixture(scope="session")
def loader(tmp_path_factory):
    if not shutil.which("go"):
        pytest.skip("Go is not installed: without it the library of Compose cannot be built")
    program = tmp_path_factory.mktemp("compose") / "load"
    built = subprocess.run(
        ["go", "build", "-o", program, "."], cwd=ROOT / "tests/image/compose", capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return program


def filled(folder, without=None):
    """The example of the settings, with a secret at each place that asks for one."""
    text = (ROOT / ".env.example").read_text()
    for name in SECRETS:
        value = "" if name == without else f"secret-{name}"
        text, count = re.subn(rf"^{name}=$", f"{name}={value}", text, flags=re.M)
        assert count == 1, f"{name} is not in .env.example"
    file = folder / "env"
    file.write_text(text)
    return file


@pytest.fixture(scope="session")
def project(loader, tmp_path_factory):
    env = filled(tmp_path_factory.mktemp("env"))
    done = subprocess.run([loader, FILE, env], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
