"""Section 1.G: the background workers."""

from __future__ import annotations

import pytest
import seed
from support import COMPONENTS, EXPLICIT, config, main_container, pod_of, refusal, render, resolve
from test_d_cost import SECRETS


def scaler(*trees: dict, **options) -> dict:
    (found,) = render(EXPLICIT, *trees, **options).component("celery-worker", "HorizontalPodAutoscaler")
    return found["spec"]


def test_s071_pods_carry_the_label_that_the_document_asks_for(engine):
    (command,) = [c for c in seed.starting("kubectl", "get", "pods") if "-l" in c]
    key, value = seed.flags(command, "-l")[0].split("=")
    objects = render(EXPLICIT, engine=engine)
    assert [o for o, pod in objects.pods() if pod["metadata"]["labels"].get(key) == value] == [
        "Deployment/rae-memory-celery-worker"
    ]
    for component in COMPONENTS:
        workload = objects.workload(component)
        assert pod_of(workload)["metadata"]["labels"][key] == component
        assert workload["spec"]["selector"]["matchLabels"][key] == component


def test_s072_concurrency_and_tasks_per_child_reach_the_worker():
    def seen(objects):
        container = main_container(objects.workload("celery-worker"))
        variables = resolve(container, objects, SECRETS)
        arguments = " ".join(container.get("args") or [])
        return (
            variables.get("RAE_WORKER_CONCURRENCY") or arguments.split("--worker-concurrency ")[1].split()[0],
            variables.get("RAE_WORKER_MAX_TASKS_PER_CHILD")
            or arguments.split("--worker-max-tasks-per-child ")[1].split()[0],
        )

    assert seen(render(EXPLICIT)) == ("4", "1000")
    assert seen(render(EXPLICIT, {"celeryWorker": {"concurrency": 16, "maxTasksPerChild": 1000000}})) == (
        "16",
        "1000000",
    )
    for bad in ("celeryWorker.concurrency=0", "celeryWorker.maxTasksPerChild=0", "celeryWorker.concurrency=two"):
        assert "celeryWorker" in refusal(sets=[bad])
    # Queues do not exist in this server, so naming some must not be swallowed.
    assert "queues" in refusal({"celeryWorker": {"queues": ["default"]}})


def test_s073_the_autoscaler_owns_the_number_of_replicas(engine):
    on = render(EXPLICIT, engine=engine)
    assert "replicas" not in on.workload("celery-worker")["spec"]
    assert on.component("celery-worker", "HorizontalPodAutoscaler")
    off = render(EXPLICIT, sets=["celeryWorker.autoscaling.enabled=false"], engine=engine)
    assert off.workload("celery-worker")["spec"]["replicas"] == 2
    assert not off.component("celery-worker", "HorizontalPodAutoscaler")


@pytest.mark.parametrize("files", [[], ["values-production.yaml"]], ids=["default", "production"])
def test_s073_no_scaled_workload_names_its_replicas(files):
    from support import CHART

    objects = render(EXPLICIT, files=[CHART / f for f in files], sets=["mlService.autoscaling.enabled=true"])
    targets = {
        (o["spec"]["scaleTargetRef"]["kind"], o["spec"]["scaleTargetRef"]["name"])
        for o in objects.of("HorizontalPodAutoscaler")
    }
    assert len(targets) == 3
    for kind, name in targets:
        assert "replicas" not in objects.get(kind, name)["spec"], name


def test_s073_keda_and_the_autoscaler_exclude_one_another(engine):
    both = {"celeryWorker": {"keda": {"enabled": True}}}
    said = refusal(EXPLICIT, both, engine=engine)
    assert "keda" in said
    assert "autoscaling" in said
    objects = render(EXPLICIT, both, {"celeryWorker": {"autoscaling": {"enabled": False}}}, engine=engine)
    (one,) = objects.of("ScaledObject")
    assert one["spec"]["scaleTargetRef"]["name"] == "rae-memory-celery-worker"
    assert "replicas" not in objects.workload("celery-worker")["spec"]
    assert not objects.component("celery-worker", "HorizontalPodAutoscaler")


def test_s074_scale_up_takes_the_smaller_of_both_policies(engine):
    up = scaler(engine=engine)["behavior"]["scaleUp"]
    assert up["selectPolicy"] == "Min"
    assert up["stabilizationWindowSeconds"] == 0
    policies = sorted((p["type"], p["value"], p["periodSeconds"]) for p in up["policies"])
    assert policies == [("Percent", 100, 30), ("Pods", 2, 30)]
    assert "Scale-up: 100% increase per 30s (max 2 pods at once)" in seed.TEXT
    # What the autoscaler then allows, by its own rule: the smallest of what the policies allow.
    for pods, most in ((1, 2), (2, 4), (4, 6), (10, 12)):
        allowed = min(pods * 2 if kind == "Percent" else pods + value for kind, value, _ in policies)
        assert allowed == most


def test_s075_scale_down_is_slow(engine):
    down = scaler(engine=engine)["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] == 300
    assert [(p["type"], p["value"], p["periodSeconds"]) for p in down["policies"]] == [("Percent", 50, 60)]
    assert "Scale-down: 50% decrease per 60s (300s stabilization)" in seed.TEXT


def test_s076_targets_and_behavior_can_be_set():
    def targets(spec):
        return {m["resource"]["name"]: m["resource"]["target"]["averageUtilization"] for m in spec["metrics"]}

    assert targets(scaler()) == {"cpu": 80, "memory": 75}
    assert targets(scaler({"celeryWorker": {"autoscaling": {"targetMemoryUtilizationPercentage": None}}})) == {
        "cpu": 80
    }
    own = {"celeryWorker": {"autoscaling": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}}}
    assert scaler(own)["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 60
    # null takes the default back; {} would be merged with it.
    assert "behavior" not in scaler({"celeryWorker": {"autoscaling": {"behavior": None}}})
    custom = [{"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "5"}}}]
    more = scaler({"celeryWorker": {"autoscaling": {"customMetrics": custom}}})
    assert custom[0] in more["metrics"]
    nothing = {"targetCPUUtilizationPercentage": None, "targetMemoryUtilizationPercentage": None}
    assert "autoscaling" in refusal({"celeryWorker": {"autoscaling": nothing}})
    assert "minReplicas" in refusal({"celeryWorker": {"autoscaling": {"minReplicas": 11}}})


def test_s077_tasks_are_counted_by_processes_inside_of_the_pod():
    """That the worker replaces a child and goes on is tested with the real server; here: nothing restarts the container."""
    objects = render(EXPLICIT)
    container = main_container(objects.workload("celery-worker"))
    assert container["args"][0] == "worker"
    assert not container.get("command"), "the binary is the entry of the image; no shell loop stands before it"
    assert pod_of(objects.workload("celery-worker"))["spec"].get("restartPolicy", "Always") == "Always"
    grace = pod_of(objects.workload("celery-worker"))["spec"]["terminationGracePeriodSeconds"]
    drain = float((resolve(container, objects, SECRETS) | config(objects))["RAE_DRAIN_TIMEOUT"])
    assert grace > drain, "the job in hand must be allowed to end"
    assert "drain" in refusal(sets=["celeryWorker.drain.timeoutSeconds=400"])


def test_s078_without_workers_nothing_of_them_is_left(engine):
    assert {o["kind"] for o in render(EXPLICIT).component("celery-worker")} >= {
        "Deployment",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "NetworkPolicy",
    }
    without = render(EXPLICIT, sets=["celeryWorker.enabled=false"], engine=engine)
    assert without.component("celery-worker") == []
    assert not [name for _, name in without.names() if "celery" in name]
