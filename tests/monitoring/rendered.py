"""What the chart renders for Prometheus: its rules, its monitors, its dashboard. Helm is the program that HELM names, else `helm`."""

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "rae-memory"
RELEASE = NAMESPACE = "rae-memory"
JOBS = {"api": "api", "worker": "celery-worker", "ml": "ml-service", "reranker": "reranker"}


def helm() -> str:
    found = os.environ.get("HELM") or shutil.which("helm")
    if not found:
        raise RuntimeError("these tests need Helm: name its program in HELM")
    return found


@functools.cache
def objects(*settings: str) -> list[dict]:
    """All objects of the chart with these `--set`s."""
    given = [word for setting in settings for word in ("--set", setting)]
    command = [helm(), "template", RELEASE, str(CHART), "--namespace", NAMESPACE, *given]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return [made for made in yaml.safe_load_all(done.stdout) if made]


def only(kind: str, name: str, *settings: str) -> dict:
    found = [made for made in objects(*settings) if made["kind"] == kind and made["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind}/{name}"
    return found[0]


def of_kind(kind: str, *settings: str) -> list[dict]:
    return [made for made in objects(*settings) if made["kind"] == kind]


RULES = "monitoring.prometheusRule.enabled=true"


def groups(*settings: str) -> list[dict]:
    """With backups, whose alert is there only where they are."""
    return only("PrometheusRule", RELEASE, RULES, "backup.enabled=true", *settings)["spec"]["groups"]


def alerts(*settings: str) -> dict[str, dict]:
    return {rule["alert"]: rule for group in groups(*settings) for rule in group["rules"]}


def dashboard(*settings: str) -> dict:
    (text,) = only("ConfigMap", f"{RELEASE}-dashboard", *settings)["data"].values()
    return json.loads(text)


def panels(board: dict) -> list[dict]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expand(text: str) -> str:
    """$api and the like as the labels of that job."""
    for name, component in JOBS.items():
        text = text.replace(f"${name}", f'namespace="{NAMESPACE}",job="{RELEASE}-{component}"')
    return text


def labels_match(selector: dict, labels: dict) -> bool:
    return all(labels.get(name) == value for name, value in selector["matchLabels"].items())


def one(found: list, what: str):
    assert len(found) == 1, f"{len(found)} {what}"
    return found[0]


def scraped(made: dict, everything: list[dict]) -> tuple[dict, dict, int, str]:
    """The endpoint of a monitor, the pod template that it means, the port, and the container: by the rendered labels and port names."""
    spec = made["spec"]
    pods = [
        workload["spec"]["template"] for workload in everything if workload["kind"] in ("Deployment", "StatefulSet")
    ]
    if made["kind"] == "PodMonitor":
        endpoint = one(spec["podMetricsEndpoints"], "endpoints")
        port_name, selector = endpoint["port"], spec["selector"]
    else:
        endpoint = one(spec["endpoints"], "endpoints")
        services = [
            s for s in everything if s["kind"] == "Service" and labels_match(spec["selector"], s["metadata"]["labels"])
        ]
        service = one(services, f"services of {made['metadata']['name']}")
        port = one([p for p in service["spec"]["ports"] if p["name"] == endpoint["port"]], "ports of that name")
        port_name, selector = port["targetPort"], {"matchLabels": service["spec"]["selector"]}
    pod = one(
        [p for p in pods if labels_match(selector, p["metadata"]["labels"])], f"workloads of {made['metadata']['name']}"
    )
    ports = [
        (c["name"], p)
        for c in pod["spec"]["containers"]
        for p in c.get("ports", [])
        if port_name in (p["name"], p["containerPort"])
    ]
    container, port = one(ports, f"ports {port_name}")
    return endpoint, pod, port["containerPort"], container


def snake(relabeling: dict) -> dict:
    """A relabeling of the operator as Prometheus writes it."""
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return {names.get(name, name): value for name, value in relabeling.items()}


def scrape_config(made: dict, targets: dict[str, str], interval: str, *settings: str) -> dict:
    """The monitor as a scrape of these pods (name -> address), with the labels that the operator gives."""
    endpoint, _, _, container = scraped(made, objects(*settings))
    name, meta = made["metadata"]["name"], "__meta_kubernetes_"
    namespace = one(made["spec"]["namespaceSelector"]["matchNames"], "namespaces")
    job = name if made["kind"] == "ServiceMonitor" else f"{namespace}/{name}"
    static = [
        {
            "targets": [address],
            "labels": {
                f"{meta}namespace": namespace,
                f"{meta}pod_name": pod,
                f"{meta}pod_container_name": container,
            },
        }
        for pod, address in targets.items()
    ]
    given = [
        {"source_labels": [f"{meta}{source}"], "target_label": target}
        for source, target in (("namespace", "namespace"), ("pod_name", "pod"), ("pod_container_name", "container"))
    ]
    given += [
        {"target_label": "job", "replacement": job},
        {"target_label": "endpoint", "replacement": str(endpoint["port"])},
    ]
    return {
        "job_name": f"{made['kind']}/{namespace}/{name}",
        "honor_labels": endpoint.get("honorLabels", False),
        "metrics_path": endpoint["path"],
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "static_configs": static,
        "relabel_configs": given + [snake(r) for r in endpoint.get("relabelings", [])],
        "metric_relabel_configs": [snake(r) for r in endpoint.get("metricRelabelings", [])],
    }
