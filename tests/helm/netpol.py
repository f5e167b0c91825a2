"""What rendered NetworkPolicies allow, by the rules of the Kubernetes API: policies add up, and a pod that no policy of a
direction selects is open in that direction."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field


@dataclass(frozen=True)
class End:
    """A pod with its labels and the name of its namespace, or an address of the internet."""

    name: str
    namespace: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    address: str = ""
    ports: tuple[tuple[str, int], ...] = field(default=(), compare=False)

    @property
    def is_pod(self) -> bool:
        return not self.address


def selects(selector: dict | None, labels: dict[str, str]) -> bool:
    if selector is None:
        return False
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    for rule in selector.get("matchExpressions") or []:
        has, value = rule["key"] in labels, labels.get(rule["key"])
        known = {
            "In": has and value in (rule.get("values") or []),
            "NotIn": value not in (rule.get("values") or []),
            "Exists": has,
            "DoesNotExist": not has,
        }
        if not known[rule["operator"]]:
            return False
    return True


def peer_matches(peer: dict, end: End, policy_namespace: str) -> bool:
    if "ipBlock" in peer:
        # An address of a pod is no stable thing; charts use blocks for what lies outside, and so do these tests.
        if end.is_pod:
            return False
        address = ipaddress.ip_address(end.address)
        block = peer["ipBlock"]
        inside = [ipaddress.ip_network(c) for c in [block["cidr"], *(block.get("except") or [])]]
        assert all(e.version == inside[0].version and e.subnet_of(inside[0]) for e in inside[1:]), block
        return address in inside[0] and not any(address in e for e in inside[1:])
    if not end.is_pod:
        return False
    if "namespaceSelector" in peer:
        # Every namespace carries this label, set by the API server; no other label can be relied on.
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": end.namespace}):
            return False
    elif end.namespace != policy_namespace:
        return False
    return selects(peer["podSelector"], dict(end.labels)) if "podSelector" in peer else True


def port_matches(ports: list | None, port: int, protocol: str, target: End) -> bool:
    if not ports:
        return True
    for rule in ports:
        if rule.get("protocol", "TCP") != protocol:
            continue
        wanted = rule.get("port")
        if isinstance(wanted, str):
            wanted = dict(target.ports).get(wanted, -1)
        if wanted is None or wanted == port or wanted <= port <= rule.get("endPort", -1):
            return True
    return False


def permits(policies: list[dict], direction: str, pod: End, other: End, port: int, protocol: str) -> bool:
    """Whether `pod` may receive from (Ingress) or send to (Egress) `other`."""
    if not pod.is_pod:
        return True
    limited = False
    for policy in policies:
        spec = policy["spec"]
        namespace = policy["metadata"].get("namespace", "rae-memory")
        if pod.namespace != namespace or not selects(spec["podSelector"], dict(pod.labels)):
            continue
        types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
        if direction not in types:
            continue
        limited = True
        for rule in spec.get(direction.lower()) or []:
            peers = rule.get("from" if direction == "Ingress" else "to")
            target = pod if direction == "Ingress" else other
            if port_matches(rule.get("ports"), port, protocol, target) and (
                not peers or any(peer_matches(p, other, namespace) for p in peers)
            ):
                return True
    return not limited


def allowed(policies: list[dict], source: End, target: End, port: int, protocol: str = "TCP") -> bool:
    return permits(policies, "Egress", source, target, port, protocol) and permits(
        policies, "Ingress", target, source, port, protocol
    )
