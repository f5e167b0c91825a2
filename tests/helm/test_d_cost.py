"""Section 1.D: cost control. The claims about the server itself (check 57) are in test_binary.py."""

from __future__ import annotations

import pytest
import seed
from support import (
    EXPLICIT,
    RAE_COMPONENTS,
    annotations,
    config,
    config_name,
    containers,
    main_container,
    pod_of,
    refusal,
    render,
    resolve,
)

FOUR = ("ENABLE_COST_TRACKING", "DEFAULT_DAILY_LIMIT", "DEFAULT_MONTHLY_LIMIT", "BUDGET_WARNING_THRESHOLD")
SECRETS = {
    "rae-secrets": {"database-url": "postgresql://u:p@db:5432/rae", "openai-api-key": "sk-test"},
    "stores": {"password": "p", "redis-password": "p", "qdrant-api-key": "p"},
}


def test_s052_the_four_settings_reach_every_role_by_the_configmap():
    objects = render(EXPLICIT)
    for component in RAE_COMPONENTS:
        container = main_container(objects.workload(component))
        seen = resolve(container, objects, SECRETS)
        assert {k: seen.get(k) for k in FOUR} == {k: config(objects)[k] for k in FOUR}, component
        sources = [s["configMapRef"]["name"] for s in container.get("envFrom") or [] if "configMapRef" in s]
        keyed = [
            e["valueFrom"]["configMapKeyRef"]["name"]
            for e in container.get("env") or []
            if "configMapKeyRef" in e.get("valueFrom", {})
        ]
        assert config_name(objects) in sources + keyed, component
    # The migration reads the same settings.
    for component in ("api", "celery-worker"):
        for init in pod_of(objects.workload(component))["spec"].get("initContainers") or []:
            assert resolve(init, objects, SECRETS)["PGHOST"] == "rae-memory-postgresql"


def test_s053_the_documented_block_and_any_other_key():
    shown = seed.values("Cost Control")["configMap"]
    assert shown == dict(zip(FOUR, ("true", "10.00", "100.00", "0.8"), strict=True))
    assert shown.items() <= config(render(EXPLICIT, {"configMap": shown})).items()
    assert config(render(EXPLICIT, {"configMap": {"RAE_MAX_PAGE": "17"}}))["RAE_MAX_PAGE"] == "17"


def test_s053_whatever_type_a_key_has_the_configmap_holds_strings():
    given = {"A_TRUE": True, "A_NUMBER": 1000000, "A_FRACTION": 0.5, "AN_EMPTY": ""}
    data = config(render(EXPLICIT, {"configMap": given}))
    assert {k: data[k] for k in given} == {
        "A_TRUE": "true",
        "A_NUMBER": "1000000",
        "A_FRACTION": "0.5",
        "AN_EMPTY": "",
    }
    assert all(isinstance(v, str) for v in data.values())


def test_s054_configmap_wins_over_cost(engine):
    assert config(render(EXPLICIT, sets=["cost.defaultDailyLimit=5"], engine=engine))["DEFAULT_DAILY_LIMIT"] == "5.00"
    both = {"cost": {"defaultDailyLimit": 5}, "configMap": {"DEFAULT_DAILY_LIMIT": "7.50"}}
    data = config(render(EXPLICIT, both, engine=engine))
    assert data["DEFAULT_DAILY_LIMIT"] == "7.50"
    assert data["DEFAULT_MONTHLY_LIMIT"] == "100.00"


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("20.00", "20.00"),
        ("20", "20.00"),
        ("0.5", "0.50"),
        ("0", "0.00"),
        ("1234567.891", "1234567.89"),
        ("1e3", "1000.00"),
    ],
)
def test_s055_limits_have_two_decimals_whatever_way_they_came(given, written, engine):
    as_flag = config(render(EXPLICIT, sets=[f"cost.defaultDailyLimit={given}"], engine=engine))
    as_number = config(render(EXPLICIT, {"cost": {"defaultDailyLimit": float(given)}}, engine=engine))
    as_string = config(render(EXPLICIT, {"cost": {"defaultDailyLimit": given}}, engine=engine))
    found = {c["DEFAULT_DAILY_LIMIT"] for c in (as_flag, as_number, as_string)}
    assert found == {written}


def test_s056_a_change_of_the_configmap_rolls_the_pods():
    def sums(*trees):
        objects = render(EXPLICIT, *trees)
        return {c: annotations(pod_of(objects.workload(c))) for c in RAE_COMPONENTS}

    before, after = sums(), sums({"cost": {"defaultDailyLimit": 11}})
    for component in RAE_COMPONENTS:
        changed = {k for k in before[component] if before[component][k] != after[component].get(k)}
        assert [k for k in changed if "checksum" in k], component
    assert sums() == before
    # What does not concern the settings rolls nothing.
    assert sums({"ingress": {"enabled": False}}) == before


def test_s056_stores_are_not_rolled_by_settings_of_the_server():
    before = render(EXPLICIT)
    after = render(EXPLICIT, {"cost": {"defaultDailyLimit": 11}})
    for component in ("postgresql", "redis", "qdrant"):
        assert pod_of(before.workload(component)) == pod_of(after.workload(component)), component


@pytest.mark.parametrize(
    "bad",
    [
        "cost.warningThreshold=1.01",
        "cost.warningThreshold=-0.1",
        "cost.defaultDailyLimit=-1",
        "cost.defaultMonthlyLimit=-0.01",
        "cost.defaultDailyLimit=much",
        "cost.enableTracking=perhaps",
        "cost.dailyLimit=5",
    ],
)
def test_s056_the_schema_refuses(bad, engine):
    key = bad.split("=")[0].split(".")[-1]
    said = refusal(sets=[bad], engine=engine)
    assert key in said
    assert "cost" in said


@pytest.mark.parametrize("good", ["0", "1", "0.0", "1.0", "0.333"])
def test_s056_the_schema_takes_the_edges(good):
    assert float(config(render(EXPLICIT, sets=[f"cost.warningThreshold={good}"]))["BUDGET_WARNING_THRESHOLD"]) == float(
        good
    )


def test_s052_no_secret_lies_in_the_configmap_or_in_arguments():
    secret = "s3cr3t-value"
    objects = render(
        {"postgresql": {"auth": {"password": secret}}, "redis": {"auth": {"password": secret}}},
        {"secrets": {"create": True, "data": {"openaiApiKey": secret}}},
    )
    for o in objects:
        if o["kind"] != "Secret":
            assert secret not in str(o), (o["kind"], o["metadata"]["name"])
    for _, pod in objects.pods():
        for container in containers(pod):
            for entry in container.get("env") or []:
                if any(
                    word in entry["name"]
                    for word in ("PASSWORD", "API_KEY", "MASTER_KEY", "DATABASE_URL", "REDISCLI_AUTH")
                ):
                    assert "secretKeyRef" in entry.get("valueFrom", {}), entry["name"]
