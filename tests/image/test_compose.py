"""docker-compose.yml, loaded by the library that Docker itself loads it with."""

import json
import re
import shutil
import subprocess

import dockerfile
import pytest
import yaml

ROOT = dockerfile.ROOT
FILE = ROOT / "docker-compose.yml"
SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "QDRANT_API_KEY", "RAE_API_MASTER_KEY")
OURS = {"migrate", "api", "worker", "ml", "reranker"}


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def project(loader, tmp_path_factory):
    env = filled(tmp_path_factory.mktemp("env"))
    done = subprocess.run([loader, FILE, env], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", SECRETS)
def test_it_refuses_to_start_without_a_secret(loader, tmp_path, name):
    done = subprocess.run([loader, FILE, filled(tmp_path, without=name)], capture_output=True, text=True, env={})
    assert done.returncode != 0 and f"set {name} in .env" in done.stderr


def test_a_wrong_key_is_refused(loader, tmp_path):
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(FILE.read_text().replace("read_only: true", "read_onlie: true"))
    done = subprocess.run([loader, wrong, filled(tmp_path)], capture_output=True, text=True, env={})
    assert done.returncode != 0 and "read_onlie" in done.stderr


def test_it_is_the_whole_stack(project):
    assert set(project["services"]) == OURS | {"postgres", "redis", "qdrant"}


def test_every_container_is_hardened(project):
    for name, service in project["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"] and not service.get("cap_add"), name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert int(service["user"].split(":")[0]) > 0, name
        assert not service.get("privileged") and not service.get("network_mode"), name


def test_ports_are_on_loopback_alone(project):
    ports = [port for service in project["services"].values() for port in service.get("ports", [])]
    assert [(p["host_ip"], p["target"]) for p in ports] == [("127.0.0.1", 8000)]


def test_no_secret_is_on_a_command_line_or_in_a_label(project):
    for name, service in project["services"].items():
        for key in ("command", "entrypoint", "labels", "healthcheck", "build"):
            assert "secret-" not in json.dumps(service.get(key)), f"{name}: {key}"
    # The environment is where they are: otherwise the line above shows nothing.
    assert "secret-" in json.dumps(project["services"]["api"]["environment"])


def test_only_who_calls_out_can_leave(project):
    reach = {name: set(service["networks"]) for name, service in project["services"].items()}
    assert {name for name, networks in reach.items() if "outside" in networks} == {"api", "worker", "ml", "reranker"}
    assert project["networks"]["stores"]["internal"] and project["networks"]["models"]["internal"]
    for store in ("postgres", "redis", "qdrant"):
        assert reach[store] == {"stores"}
    assert not reach["ml"] & {"stores"} and not reach["reranker"] & {"stores"}


def test_the_image_s_volumes_are_the_only_places_to_write(project):
    _, stages = dockerfile.read()
    places = {"/tmp", *stages[-1].folders()}
    for name in OURS:
        service = project["services"][name]
        mounts = {entry.split(":")[0] for entry in service["tmpfs"]}
        mounts |= {volume["target"] for volume in service.get("volumes", [])}
        assert mounts == places, name


def test_all_stay_healthy_or_say_so(project):
    for name, service in project["services"].items():
        if name == "migrate":
            assert service["restart"] == "no"
            continue
        assert service["healthcheck"]["test"] and service["restart"] == "unless-stopped", name
    for name in ("api", "worker"):
        needs = project["services"][name]["depends_on"]
        assert needs["migrate"]["condition"] == "service_completed_successfully"
    worker = project["services"]["worker"]
    assert worker["healthcheck"]["test"][-2:] == ["--port", "8003"]
    # Docker kills what is not down in time; the server must give up earlier.
    seconds = {"5m0s": 300, "45s": 45}
    for name in ("api", "worker"):
        service = project["services"][name]
        assert float(service["environment"]["RAE_DRAIN_TIMEOUT"]) < seconds[service["stop_grace_period"]]


def test_every_setting_is_one_that_the_server_knows(project):
    known = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "docs/operations.md").read_text()))
    for name in OURS:
        assert set(project["services"][name]["environment"]) <= known, name


def test_data_is_in_named_volumes(project):
    for store, target in {
        "postgres": "/var/lib/postgresql/data",
        "redis": "/data",
        "qdrant": "/qdrant/storage",
    }.items():
        [volume] = [v for v in project["services"][store]["volumes"] if v["target"] == target]
        assert volume["type"] == "volume" and volume["source"] in project["volumes"]


def test_the_stores_are_those_of_the_chart(project):
    chart = yaml.safe_load((ROOT / "helm/rae-memory/values.yaml").read_text())
    for service, name in {"postgres": "postgresql", "redis": "redis", "qdrant": "qdrant"}.items():
        image = chart[name]["image"]
        assert project["services"][service]["image"] == f"{image['repository']}:{image['tag']}"
