"""Prometheus scrapes the real rae-server by the chart's monitors, under real traffic; the dashboard and the alerts read it."""

import json
import os
import re
import subprocess
import time

import pytest
import queries
import rendered
import traffic
from stack import MASTER, Stack, call

BOARD = json.loads((rendered.CHART / "files" / "dashboards" / "rae.json").read_text())
SECONDS = float(os.environ.get("RAE_MONITORING_SECONDS", "40"))


@pytest.fixture(scope="module")
def live():
    with Stack() as stack:
        stack.began = time.time()
        stack.traffic = traffic.Traffic(stack)
        stack.traffic.everything(SECONDS)
        time.sleep(7)  # the last scrapes and one more evaluation of the rules
        stack.ended = time.time()
        yield stack


def instant(stack: Stack, expr: str) -> list[dict]:
    return stack.ask("query", query=expr, time=stack.ended)["result"]


def test_the_traffic_was_real(live):
    counts = live.traffic.counts
    assert counts[200] > 100 and {201, 402, 403, 404, 429, 503} <= set(counts), counts


def test_s063_every_role_is_scraped_by_the_monitors(live):
    up = {(s["metric"]["job"], s["metric"]["pod"]): s["value"][1] for s in instant(live, "up")}
    jobs = {"api": "api", "worker": "celery-worker", "ml": "ml-service", "reranker": "reranker"}
    assert up == {(f"rae-memory-{jobs[pod.split('-')[0]]}", pod): "1" for pod in live.ports}
    assert {s["metric"]["namespace"] for s in instant(live, "rae_build_info")} == {"rae-memory"}


@pytest.mark.parametrize(
    "title, letter, target", queries.targets(BOARD), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_query_of_the_dashboard_returns_a_series(live, title, letter, target):
    expr = queries.put_in(target["expr"])
    if target["instant"]:
        series = instant(live, expr)
    else:
        series = live.ask("query_range", query=expr, start=live.began, end=live.ended, step="2")["result"]
    assert series, expr
    assert queries.has_number(series), expr


def test_a_query_without_data_is_noticed(live):
    expr = "sum by (route) (rate(rae_no_such_metric_total[10s]))"
    assert live.ask("query_range", query=expr, start=live.began, end=live.ended, step="2")["result"] == []
    assert not queries.has_number([{"values": [[0, "NaN"]]}])


def test_s068_every_metric_in_a_query_or_alert_is_exported(live):
    kinds: dict[str, str] = {}
    for port in live.ports.values():
        kinds |= queries.exported(call(f"127.0.0.1:{port}", "GET", "/metrics")[1])
    read = set()
    for expr in [t["expr"] for _, _, t in queries.targets(BOARD)] + [r["expr"] for r in rendered.alerts().values()]:
        read |= queries.metrics(expr, kinds)
    assert read <= set(kinds), read - set(kinds)
    # And the other way: nothing that the server exports is left out of the dashboard.
    shown = set()
    for _, _, target in queries.targets(BOARD):
        shown |= queries.metrics(target["expr"], kinds)
    assert set(kinds) - shown == set()


def test_every_alert_is_evaluated_without_an_error(live):
    found = [rule for group in live.ask("rules", type="alert")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in found} == set(rendered.alerts())
    assert {rule["name"]: rule.get("lastError") for rule in found if rule["health"] != "ok"} == {}
    for rule in rendered.alerts().values():
        live.ask("query", query=rule["expr"], time=live.ended)


def test_an_alert_sees_the_budget_that_is_used_up(live):
    found = {rule["name"]: rule for group in live.ask("rules", type="alert")["groups"] for rule in group["rules"]}
    tenants = {alert["labels"]["tenant"] for alert in found["RaeBudgetLow"]["alerts"]}
    assert tenants == {"initech"}
    assert found["RaeBudgetLow"]["state"] in ("pending", "firing")
    assert found["RaeWorkerDown"]["state"] == found["RaeApiDown"]["state"] == "inactive"


def test_panels_count_each_budget_and_job_once(live):
    """Three processes export the same budgets, and two figures of jobs must not be added."""
    title = {t: target for t, _, target in queries.targets(BOARD)}
    shares = instant(live, queries.put_in(title["Share left now"]["expr"]))
    keys = [tuple(sorted(s["metric"].items())) for s in shares]
    assert len(keys) == len(set(keys)) and {dict(k)["tenant"] for k in keys} >= set(traffic.TENANTS)
    exporters = instant(live, 'count by (tenant) (rae_budget_limit{tenant="acme",window="day",unit="usd"})')
    assert int(exporters[0]["value"][1]) >= 2
    pods = instant(live, queries.put_in(title["Requests by pod"]["expr"], interval="60s"))
    assert {s["metric"]["pod"] for s in pods} >= {"api-0", "api-1"}


@pytest.mark.parametrize(
    "name, some",
    [
        ("namespace", {"rae-memory"}),
        ("job", {"rae-memory-api", "rae-memory-celery-worker"}),
        ("pod", {"api-0", "ml-0"}),
        ("tenant", set(traffic.TENANTS)),
    ],
)
def test_variables_offer_what_there_is(live, name, some):
    (variable,) = [v for v in BOARD["templating"]["list"] if v["name"] == name]
    selector, label = variable["definition"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
    values = live.ask(f"label/{label}/values", **{"match[]": queries.put_in(selector)})
    assert set(values) >= some


def inner_commands() -> dict[str, str]:
    """What the runbooks tell to run in a pod: shell lines with curl, and questions to PostgreSQL."""
    found = {}
    for page in sorted((rendered.ROOT / "docs" / "runbooks").glob("Rae*.md")):
        for line in page.read_text().splitlines():
            for command in re.findall(r"-- sh -c '([^']+)'", line) + re.findall(r"-- (psql .+)$", line):
                found.setdefault(command, page.stem)
            if requeue := re.search(r"`(curl -X POST [^`]+)`", line):
                found.setdefault(requeue[1], page.stem)
    return found


@pytest.mark.parametrize("command, page", inner_commands().items(), ids=lambda value: value[:60])
def test_commands_of_the_runbooks_work(live, command, page):
    """On the real server, with the pod's addresses put in. The line that requeues a job is told that there is no such job."""
    named = {
        "TENANT": "acme",
        "PROJECT": "default",
        "QUESTIONS": "ferries",
        "/ID/": "/01900000-0000-7000-8000-000000000000/",
    }
    for name, value in named.items():
        command = re.sub(rf"(?<![A-Z_]){name}(?![A-Z_])", value, command)
    command = command.replace("localhost:8000", live.api).replace(
        "psql -U rae -d rae_memory", f"psql '{live.database}' -U rae"
    )
    env = {"PATH": os.environ["PATH"], "RAE_API_MASTER_KEY": MASTER}
    done = subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{page}: {done.stderr}"
    if command.startswith("psql"):
        assert "row" in done.stdout
        return
    answer = json.loads(done.stdout)
    if "requeue" in command:
        assert answer["error"]["kind"] == "not_found", answer
    else:
        assert "error" not in answer, f"{page}: {answer}"


def test_there_are_commands_to_try():
    assert len(inner_commands()) >= 8
