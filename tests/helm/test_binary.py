"""The rendered pods start the real binary, with real PostgreSQL and Redis, and answer as the user's document says."""

from __future__ import annotations

import json
import subprocess
import warnings
from pathlib import Path

import pods
import pytest
import seed
from pods import ROLES, Stack, get, sandboxed, terminate, wait_for
from support import main_container, pod_of, render
from test_f_monitoring import SIX

# What the document's two ways of making the Secret put into it.
SECRETS = {
    "four keys": {
        "database-url": "postgresql://user:pass@postgres:5432/rae",
        "redis-url": "redis://:pass@redis:6379/0",
        "openai-api-key": "sk-not-used",
        "anthropic-api-key": "sk-ant-not-used",
    },
    "two keys": {"database-url": "postgresql://user:pass@postgres:5432/rae", "openai-api-key": "sk-not-used"},
}


@pytest.fixture(scope="module", params=SECRETS)
def stack(request):
    if not Path(pods.BINARY).exists():
        pytest.fail(f"no rae-server at {pods.BINARY}; RAE_TEST_SERVER_BINARY names it")
    if not sandboxed():
        warnings.warn("bubblewrap cannot run here: the read-only root of the pods is NOT tested", stacklevel=1)
    one = Stack(render(), {"rae-secrets": SECRETS[request.param]})
    try:
        one.stores()
        # As the pods of the API do it: the init container, then the services it waits for, then itself.
        (migrate,) = pod_of(one.objects.workload("api"))["spec"]["initContainers"]
        for _ in range(2):
            assert one.start("api", migrate).wait(60) == 0, one.log("api-migrate")
        for component in ("ml-service", "reranker", "celery-worker", "api"):
            process = one.start(component)
            name = f"{component}-{main_container(one.objects.workload(component))['name']}"
            url = f"http://127.0.0.1:{one.pod_ports[component]}"
            path = main_container(one.objects.workload(component))["startupProbe"]["httpGet"]["path"]
            try:
                wait_for(
                    component,
                    lambda u=url, p=path: get(u + p)[0] == 200,
                    lambda running=process: running.poll() is None,
                )
            except AssertionError as error:
                raise AssertionError(f"{error}:\n{one.log(name)}") from None
        yield one
    finally:
        one.close()


def url(stack: Stack, component: str = "api") -> str:
    return f"http://127.0.0.1:{stack.pod_ports[component]}"


def test_s107_health_and_metrics_answer(stack):
    for path in ("/health", "/health/live", "/health/ready", "/metrics"):
        status, text = get(url(stack) + path)
        assert status == 200, (path, text)
    (command,) = [c for c in seed.starting("curl") if c[1].endswith(":8000/health")]
    done = subprocess.run(
        ["curl", "-sSf", command[1].replace("localhost:8000", url(stack).split("//")[1])],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"]


@pytest.mark.parametrize("component", ROLES)
def test_s107_every_probe_of_every_pod_answers(stack, component):
    container = main_container(stack.objects.workload(component))
    (port,) = container["ports"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        request = container[probe]["httpGet"]
        assert request["port"] in (port["name"], port["containerPort"])
        assert get(url(stack, component) + request["path"])[0] == 200, (component, probe)


def test_s096_the_ml_service_answers_on_its_port(stack):
    assert get(url(stack, "ml-service") + "/health")[0] == 200


def test_s068_the_six_metrics_are_exported(stack):
    _, text = get(url(stack) + "/metrics")
    for name in SIX:
        assert f"# TYPE {name} " in text, name


def test_s057_the_documented_budget_call_is_answered(stack):
    (command,) = [c for c in seed.starting("curl") if "-X" in c]
    call = [word.replace("http://rae-api.example.com", url(stack)) for word in command]
    assert call != command
    done = subprocess.run([*call, "-sS", "-w", "\n%{http_code}"], capture_output=True, text=True, check=True)
    answer, status = done.stdout.rsplit("\n", 1)
    assert status == "200", answer
    assert '"monthly_limit"' in answer or "500" in answer
    status, text = get(url(stack) + "/v1/budgets", {"X-Tenant-ID": "acme-corp"})
    assert status == 200
    assert "500" in text
    assert "20" in text
    # Another tenant keeps the defaults of the ConfigMap: 10 and 100 dollars.
    _, other = get(url(stack) + "/v1/budgets", {"X-Tenant-ID": "other-corp"})
    assert "500" not in other
    assert "10" in other
    assert "100" in other


def test_s057_over_the_budget_it_is_402_for_that_tenant_alone(stack):
    tenant = {"X-Tenant-ID": "poor-corp"}
    status, text = get(url(stack) + "/v1/budgets", tenant, b'{"daily_limit": 0.001, "monthly_limit": 0.001}', "PUT")
    assert status == 200, text
    call = {"provider": "openai", "model": "gpt-4o-mini", "input_tokens": 100000, "output_tokens": 100000}
    status, text = get(url(stack) + "/v1/costs/reservations", tenant, json.dumps(call).encode(), "POST")
    assert status == 402, text
    assert "budget_exceeded" in text
    rich = {"X-Tenant-ID": "rich-corp"}
    status, text = get(url(stack) + "/v1/costs/reservations", rich, json.dumps(call).encode(), "POST")
    assert status in (200, 201), text
    for path in ("/v1/costs?group_by=day,model", "/v1/costs/logs"):
        assert get(url(stack) + path, rich)[0] == 200, path


def test_s072_the_worker_takes_a_job(stack):
    body = json.dumps({"content": "Alice works for Globex. Bob lives in Oslo.", "infer": True}).encode()
    status, text = get(url(stack) + "/v1/memories", {"X-Tenant-ID": "jobs"}, body, "POST")
    assert status in (200, 201, 202), text

    def done() -> bool:
        _, metrics = get(url(stack, "celery-worker") + "/metrics")
        lines = [line for line in metrics.splitlines() if line.startswith("rae_jobs_total") and 'result="done"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines) >= 1

    wait_for("a job", done)
    _, metrics = get(url(stack, "celery-worker") + "/metrics")
    assert "rae_worker_children 4" in metrics, "celeryWorker.concurrency"


def test_s109_the_documented_psql_shows_the_tables_in_use(stack):
    body = b'{"content": "The chart was tested."}'
    assert get(url(stack) + "/v1/memories", {"X-Tenant-ID": "psql"}, body, "POST")[0] in (200, 201)
    done = subprocess.run([*stack.psql, "-d", "rae_memory", "-Atc", "\\dt"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "memor" in done.stdout


def test_s110_redis_is_used_with_its_password(stack):
    container = main_container(stack.objects.workload("redis"))
    from support import resolve

    password = resolve(container, stack.objects, stack.secrets)["REDISCLI_AUTH"]
    port = stack.ports["rae-memory-redis-master", 6379]
    command = ["redis-cli", "-p", str(port)]
    assert "NOAUTH" in subprocess.run([*command, "ping"], capture_output=True, text=True).stdout
    ping = subprocess.run(
        [*command, "ping"], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "REDISCLI_AUTH": password}
    )
    assert ping.stdout.strip() == "PONG"


def test_s103_the_rate_limit_of_the_values_holds(stack):
    seen = [get(url(stack) + "/v1/memories", {"X-Tenant-ID": "hasty"})[0] for _ in range(110)]
    assert seen.count(429) >= 5
    assert seen[:50] == [200] * 50


def test_s099_nothing_but_the_volumes_was_written(stack):
    """A write anywhere else would have failed, and said so; the logs must not have it."""
    for component in ROLES:
        name = f"{component}-{main_container(stack.objects.workload(component))['name']}"
        assert "Read-only file system" not in stack.log(name), name
        assert "Permission denied" not in stack.log(name), name


def test_s052_no_password_is_in_the_logs(stack):
    for component in ROLES:
        name = f"{component}-{main_container(stack.objects.workload(component))['name']}"
        for secret in stack.secrets.values():
            for value in secret.values():
                assert value not in stack.log(name), name


def test_s077_a_stop_ends_every_process_well(stack):
    """The last test: SIGTERM is what the kubelet sends."""
    stopping = [
        (n, p)
        for n, p, _ in stack.processes
        if n.split("-")[0] in ("api", "celery", "ml", "reranker") and p.poll() is None
    ]
    assert len(stopping) == 4
    for _, process in stopping:
        terminate(process)
    for name, process in stopping:
        assert process.wait(40) == 0, (name, stack.log(name)[-2000:])
