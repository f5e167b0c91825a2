#!/usr/bin/env python3
"""Writes helm/rae-memory/values.schema.json from values.yaml, its comments, and the rules below.

    python scripts/chart_schema.py            # writes it
    python scripts/chart_schema.py --check    # writes nothing, and fails where it is out of date

The schema is strict: what values.yaml does not have is refused, so a key that is misspelt is an error and not a default.
A key is needed unless a rule says that null removes it, as templates would trip over one that is missing.
"""

from __future__ import annotations

import fnmatch
import json
import sys

from chart_values import CHART, Entry, checking, read, write

Schema = dict[str, object]


def text(pattern: str = "", **more: object) -> Schema:
    return {"type": "string", **({"pattern": pattern} if pattern else {}), **more}


def choice(*values: object) -> Schema:
    return {"enum": list(values)}


def whole(least: int, most: int | None = None) -> Schema:
    return {"type": "integer", "minimum": least, **({} if most is None else {"maximum": most})}


def listed(items: Schema, **more: object) -> Schema:
    return {"type": "array", "items": items, **more}


def mapped(values: Schema, names: str = "") -> Schema:
    return {
        "type": "object",
        "additionalProperties": values,
        **({"propertyNames": {"pattern": names}} if names else {}),
    }


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def closed(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


ANY_OBJECT: Schema = {"type": "object"}
NAMED = {"type": "object", "required": ["name"], "properties": {"name": text(minLength=1)}}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
STRINGS = mapped(SCALAR)
QUANTITY: Schema = {
    "anyOf": [text(r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$"), {"type": "number", "minimum": 0}]
}
RESOURCES = closed(requests=nullable(mapped(QUANTITY)), limits=nullable(mapped(QUANTITY)), claims=listed(NAMED))
DNS_LABEL = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"
OBJECT_NAME = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"
SECRET_KEY = r"^[-._a-zA-Z0-9]*$"
ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
DURATION = r"^([0-9]+(ms|s|m|h|d))+$"
PORT = whole(1, 65535)
PROBE = nullable(
    {
        "type": "object",
        "properties": {
            "path": text("^/"),
            **{key: whole(1) for key in ("periodSeconds", "timeoutSeconds", "failureThreshold", "successThreshold")},
            "initialDelaySeconds": whole(0),
        },
    }
)
MONEY: Schema = {"anyOf": [{"type": "number", "minimum": 0}, text(r"^([0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|none)$")]}
SHARE: Schema = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, text(r"^(0(\.[0-9]+)?|1(\.0+)?)$")]}
PODS_OR_SHARE: Schema = {"anyOf": [whole(0), text(r"^(100|[0-9]{1,2})%$")]}
HOST = text(r"^[-a-zA-Z0-9.:_\[\]]*$")
TEMPLATE_OR_NAME = text(r"^.+$")
IMAGE = {
    "type": "object",
    "properties": {
        "registry": text(),
        "repository": text(),
        # `--set image.tag=17` gives a number.
        "tag": {"anyOf": [text(r"^[A-Za-z0-9_]?[-A-Za-z0-9_.]*$", maxLength=128), whole(0)]},
        "digest": text(r"^(sha256:[0-9a-f]{64})?$"),
        "pullPolicy": choice("Always", "IfNotPresent", "Never"),
    },
    "additionalProperties": False,
}

# The first pattern that fits a key's path says what it may be. What none fits is as its default.
RULES: list[tuple[str, Schema]] = [
    ("nameOverride", text(DNS_LABEL, maxLength=63)),
    ("fullnameOverride", text(DNS_LABEL)),
    ("namespaceOverride", text(DNS_LABEL, maxLength=63)),
    ("commonLabels", STRINGS),
    ("commonAnnotations", STRINGS),
    ("global.imagePullSecrets", listed({"anyOf": [text(minLength=1), NAMED]})),
    ("*.image", IMAGE),
    ("image", IMAGE),
    ("secrets.data", STRINGS),
    ("secrets.keys.*", nullable(text(SECRET_KEY))),
    ("secrets.extraKeys", mapped(text(SECRET_KEY), ENV_NAME)),
    ("*.existingSecret", text(OBJECT_NAME)),
    ("*.existingSecretKey", text(SECRET_KEY)),
    ("*.service.type", choice("ClusterIP", "NodePort", "LoadBalancer")),
    ("*.service.externalTrafficPolicy", choice("", "Cluster", "Local")),
    ("*.service.ipFamilyPolicy", choice("", "SingleStack", "PreferDualStack", "RequireDualStack")),
    ("*.service.nodePort", nullable(PORT)),
    ("*.service.loadBalancerSourceRanges", listed(text(minLength=1))),
    ("*port", PORT),
    ("*Port", PORT),
    ("*.replicaCount", whole(0)),
    ("qdrant.replicaCount", whole(1)),
    ("*.resources", RESOURCES),
    ("*.autoscaling.minReplicas", whole(1)),
    ("*.autoscaling.maxReplicas", whole(1)),
    ("*.keda.minReplicas", whole(1)),
    ("*.keda.maxReplicas", whole(1)),
    ("*.keda.pollingInterval", whole(1)),
    ("*.keda.cooldownPeriod", whole(0)),
    ("*.keda.queueLength", whole(1)),
    ("*.keda.trigger", choice("postgresql")),
    ("*UtilizationPercentage", nullable(whole(1))),
    ("*.behavior", nullable(closed(scaleUp=ANY_OBJECT, scaleDown=ANY_OBJECT))),
    ("*.customMetrics", listed(ANY_OBJECT)),
    ("*.drain.*", {"type": "number", "minimum": 0}),
    ("*.terminationGracePeriodSeconds", whole(1)),
    ("*.lifecycle", ANY_OBJECT),
    ("*Probe", PROBE),
    ("*.pdb.maxUnavailable", nullable(PODS_OR_SHARE)),
    ("*.pdb.minAvailable", nullable(PODS_OR_SHARE)),
    ("*.strategy", {**ANY_OBJECT, "properties": {"type": choice("RollingUpdate", "Recreate")}}),
    ("*.sizeLimit", QUANTITY),
    ("*.size", QUANTITY),
    ("*.storageClass", text(r"^(-|[a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")),
    ("*.accessModes", listed(choice("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"), minItems=1)),
    ("*.existingClaim", text(OBJECT_NAME)),
    ("*.persistence.retention", choice("Retain", "Delete")),
    ("*.mountPath", text("^/.")),
    ("*.gpu.count", whole(1)),
    (
        "*.extraEnv",
        listed(
            {
                "type": "object",
                "required": ["name"],
                "properties": {"name": text(minLength=1), "value": {"type": "string"}, "valueFrom": ANY_OBJECT},
                "additionalProperties": False,
            }
        ),
    ),
    ("*.extraEnvFrom", listed(ANY_OBJECT)),
    ("*.extraVolumes", listed(NAMED)),
    ("*.extraVolumeMounts", listed({**NAMED, "required": ["name", "mountPath"]})),
    ("*.initContainers", listed(NAMED)),
    ("*.sidecars", listed(NAMED)),
    ("*.podAnnotations", STRINGS),
    ("*.podLabels", STRINGS),
    ("*nodeSelector", mapped(text())),
    ("*affinity", ANY_OBJECT),
    ("*tolerations", listed(ANY_OBJECT)),
    ("*topologySpreadConstraints", listed(ANY_OBJECT)),
    ("*.dnsConfig", ANY_OBJECT),
    ("*.priorityClassName", text(OBJECT_NAME)),
    ("*.runtimeClassName", text(OBJECT_NAME)),
    ("celeryWorker.concurrency", whole(1)),
    ("celeryWorker.maxTasksPerChild", whole(1)),
    ("celeryWorker.queues", listed(text())),
    ("migrations.mode", choice("init", "job")),
    ("migrations.hookTimeout", whole(1)),
    ("migrations.waitSeconds", whole(1)),
    ("migrations.backoffLimit", whole(0)),
    ("cost.enableTracking", choice(True, False, "true", "false")),
    ("cost.default*", MONEY),
    ("cost.warningThreshold", SHARE),
    ("configMap", mapped({"type": ["string", "number", "boolean", "null"]}, ENV_NAME)),
    (
        "config.logLevel",
        choice(*(w for word in ("off", "error", "warn", "info", "debug", "trace") for w in (word.upper(), word))),
    ),
    ("config.logFormat", choice("json", "text")),
    ("config.auth", choice("auto", "header", "keys")),
    ("config.mlStartTimeoutSeconds", {"type": "number", "minimum": 0}),
    ("config.rateLimit.requests", whole(0)),
    ("config.rateLimit.windowSeconds", {"type": "number", "minimum": 1}),
    ("*.primary.kind", choice("Deployment", "StatefulSet")),
    ("*.master.kind", choice("Deployment", "StatefulSet")),
    ("*.auth.password", {"type": ["string", "integer"]}),
    ("postgresql.auth.username", text(r"^[^\s]+$")),
    ("postgresql.auth.database", text(r"^[^\s]+$")),
    ("*.initdb.scripts", mapped(text())),
    ("*.podSecurityContext", ANY_OBJECT),
    ("podSecurityContext", ANY_OBJECT),
    ("securityContext", ANY_OBJECT),
    ("externalDatabase.sslMode", choice("disable", "prefer", "require", "verify-ca", "verify-full")),
    ("external*.host", HOST),
    ("qdrant.config", ANY_OBJECT),
    ("*nnotations", STRINGS),
    ("*abels", STRINGS),
    (
        "ingress.hosts",
        listed(
            closed(
                host=text(),
                paths=listed(
                    {
                        **closed(path=text("^/"), pathType=choice("Prefix", "Exact", "ImplementationSpecific")),
                        "required": ["path"],
                    }
                ),
            )
        ),
    ),
    ("ingress.tls", listed(closed(secretName=text(), hosts=listed(text(minLength=1))))),
    ("ingress.rateLimit.*", whole(0)),
    ("gateway.parentRefs", listed(NAMED)),
    ("gateway.hostnames", listed(text(minLength=1))),
    (
        "gateway.paths",
        listed(
            {
                **closed(path=text("^/"), pathType=choice("PathPrefix", "Exact", "RegularExpression")),
                "required": ["path"],
            },
            minItems=1,
        ),
    ),
    ("gateway.timeouts", closed(request=text(DURATION), backendRequest=text(DURATION))),
    ("externalSecrets.apiVersion", text(r"^external-secrets\.io/v")),
    ("externalSecrets.refreshInterval", text(r"^(0|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$")),
    ("externalSecrets.secretStore", text(minLength=1)),
    ("externalSecrets.secretStoreKind", choice("SecretStore", "ClusterSecretStore")),
    ("externalSecrets.keys.*", nullable(text())),
    ("externalSecrets.extraKeys", mapped(nullable(text()), SECRET_KEY)),
    ("monitoring.crdCheck", choice("auto", "always", "never")),
    ("monitoring.serviceMonitor.interval", text(DURATION)),
    ("monitoring.serviceMonitor.scrapeTimeout", text(DURATION)),
    ("monitoring.serviceMonitor.*elabelings", listed(ANY_OBJECT)),
    ("monitoring.serviceMonitor.authorization", ANY_OBJECT),
    ("monitoring.prometheusRule.additionalRules", listed(ANY_OBJECT)),
    ("monitoring.prometheusRule.alerts", mapped(ANY_OBJECT)),
    ("monitoring.prometheusRule.interval", {"anyOf": [text("^$"), text(DURATION)]}),
    ("monitoring.prometheusRule.thresholds.budget*", SHARE),
    ("monitoring.prometheusRule.thresholds.*Ratio*", SHARE),
    # `--set` gives a fraction as text.
    (
        "monitoring.prometheusRule.thresholds.*",
        {"anyOf": [{"type": "number", "minimum": 0}, text(r"^[0-9]+(\.[0-9]+)?$")]},
    ),
    ("networkPolicy.policyTypes", listed(choice("Ingress", "Egress"), minItems=1, uniqueItems=True)),
    ("networkPolicy.extra*", listed(ANY_OBJECT)),
    ("networkPolicy.internet.cidrs", listed(text("/[0-9]+$"))),
    ("networkPolicy.internet.except", listed(text("/[0-9]+$"))),
    ("networkPolicy.dns.ports", listed(PORT, minItems=1)),
    ("networkPolicy.dns.cidrs", listed(text("/[0-9]+$"))),
    ("rbac.extraRules", listed(ANY_OBJECT)),
    ("backup.schedule", text(r"^(@[a-z]+|\S+( +\S+){4})$")),
    ("backup.retention", whole(1)),
    ("backup.destination", choice("pvc", "s3")),
    ("backup.activeDeadlineSeconds", whole(1)),
    ("vpa.updateMode", choice("Off", "Initial", "Recreate", "InPlaceOrRecreate", "Auto")),
    ("revisionHistoryLimit", whole(0)),
    ("apiVersionOverrides", listed(text(minLength=1))),
    ("extraObjects", listed({"anyOf": [text(minLength=1), ANY_OBJECT]})),
    ("postgresql.primary.extendedConfiguration", text()),
    ("postgresql.primary.maxConnections", whole(20, 262143)),
]
# Objects that may have other keys: those of `global` belong to whoever uses the chart as a part of theirs.
OPEN = {"global"}
# Keys that may be missing, beside those whose rule allows null: null in a file of values removes a key.
MAY_BE_MISSING = ["externalSecrets.keys.*", "*.extra*", "*.dnsConfig", "*.lifecycle"]


def rule(path: str) -> Schema | None:
    return next((schema for pattern, schema in RULES if fnmatch.fnmatchcase(path, pattern)), None)


def as_default(entry: Entry) -> Schema:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    kind = kinds.get(type(entry.default))
    if kind is None:
        sys.exit(f"values.schema.json: no rule says what {entry.name} may be")
    return {"type": kind}


def may_be_missing(entry: Entry, schema: Schema) -> bool:
    return {"type": "null"} in schema.get("anyOf", []) or any(
        fnmatch.fnmatchcase(entry.name, pattern) for pattern in MAY_BE_MISSING
    )


def schema_of(entry: Entry) -> Schema:
    schema = rule(entry.name)
    if schema is None:
        schema = objects(entry.below, entry.name in OPEN) if entry.below else as_default(entry)
    return {"description": entry.comment, **schema} if entry.comment else schema


def objects(entries: list[Entry], is_open: bool) -> Schema:
    properties = {entry.path[-1]: schema_of(entry) for entry in entries}
    required = [entry.path[-1] for entry in entries if not may_be_missing(entry, properties[entry.path[-1]])]
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": is_open,
    }


def main() -> int:
    check = checking(__doc__)
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart rae-memory",
        **objects(read(), False),
    }
    new = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return write(CHART / "values.schema.json", new, check, "chart_schema.py")


if __name__ == "__main__":
    sys.exit(main())
