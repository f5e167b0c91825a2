"""docker-compose.yml, loaded by the library that Docker itself loads it with."""

import json
import re
import subprocess

import dockerfile
import pytest
import support
import yaml
from compose import FILE, OURS, ROOT, SECRETS, filled
from support import ask, wait


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


def test_the_containers_start_with_their_environment(project, image):
    """All roles as the file sets them, but for the addresses of this machine."""
    services, running, ports = project["services"], {}, {}
    with (
        support.postgres("secret-POSTGRES_PASSWORD") as (pg, programs),
        support.redis("secret-REDIS_PASSWORD") as redis,
    ):
        support.psql(programs, pg, "postgres", "CREATE DATABASE rae_memory", "secret-POSTGRES_PASSWORD")

        def environment(name):
            ports[name] = support.free_port()
            own = {"RAE_PORT": str(ports[name]), "RAE_WORKER_PORT": str(ports[name])}
            places = {"PGHOST": "127.0.0.1", "PGPORT": str(pg), "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis)}
            # The server starts without Qdrant, and works.
            places["QDRANT_URL"] = f"http://127.0.0.1:{support.free_port()}"
            for service in ("ml", "reranker"):
                places[f"RAE_{service.upper()}_URL"] = f"http://127.0.0.1:{ports.get(service, 1)}"
            # Compose leaves out what has no value.
            given = {key: value for key, value in services[name]["environment"].items() if value is not None}
            return {**given, **own, **(places if "PGHOST" in given else {})}

        try:
            for name in ("ml", "reranker", "migrate", "api", "worker"):
                command, env = services[name]["command"], environment(name)
                if name == "migrate":
                    # It waits for no model: the file starts it beside the ml service.
                    done = image.run(*command, env={**env, "RAE_ML_URL": f"http://127.0.0.1:{support.free_port()}"})
                    assert done.returncode == 0, done.stderr
                    continue
                running[name] = image.start(*command, env=env)
                # The health check of the file.
                test = [word.replace("8003", str(ports[name])) for word in services[name]["healthcheck"]["test"][1:]]

                def healthy(test=test, env=env, name=name):
                    assert running[name].process.poll() is None, running[name].text()
                    return image.run(*test, env=env, entry=False).returncode == 0

                wait(f"{name} healthy", healthy)
            # With a master key nobody is believed without a key.
            body = {"content": "The ferry leaves at ten past seven."}
            assert ask(ports["api"], "/v1/memories", "POST", body, {"X-Tenant-ID": "acme"})[0] == 401
            operator = {"X-Tenant-ID": "acme", "Authorization": "Bearer secret-RAE_API_MASTER_KEY"}
            assert ask(ports["api"], "/v1/memories", "POST", body, operator)[0] in (200, 201)
            found = ask(ports["api"], "/v1/memories/recall", "POST", {"query": "When does the ferry leave?"}, operator)
            assert "ten past seven" in found[1]
        finally:
            for one in running.values():
                one.process.kill()
                one.process.wait()
