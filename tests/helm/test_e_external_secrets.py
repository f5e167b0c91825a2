"""Section 1.E: the External Secrets Operator."""

from __future__ import annotations

import re

import pytest
import seed
import yaml
from support import CHART, EXPLICIT, config, env_of, main_container, notes, refusal, render

ON = {"externalSecrets": {"enabled": True}}
DEFAULT = {
    "database-url": "rae/database-url",
    "redis-url": "rae/redis-url",
    "openai-api-key": "rae/openai-api-key",
    "anthropic-api-key": "rae/anthropic-api-key",
}


def one(*trees: dict, **options) -> dict:
    (found,) = render(EXPLICIT, *trees, **options).of("ExternalSecret")
    return found


def keys(external: dict) -> dict[str, str]:
    return {d["secretKey"]: d["remoteRef"]["key"] for d in external["spec"]["data"]}


def test_s058_one_external_secret_fills_rae_secrets(engine):
    external = one(seed.values("External Secrets Operator"), engine=engine)
    assert external["apiVersion"] == "external-secrets.io/v1"
    spec = external["spec"]
    assert spec["refreshInterval"] == "1h"
    assert spec["secretStoreRef"] == {"name": "aws-secrets-manager", "kind": "SecretStore"}
    assert spec["target"]["name"] == "rae-secrets"
    assert keys(external) == DEFAULT
    cluster = one(ON, sets=["externalSecrets.secretStoreKind=ClusterSecretStore", "externalSecrets.refreshInterval=5m"])
    assert cluster["spec"]["secretStoreRef"]["kind"] == "ClusterSecretStore"
    assert cluster["spec"]["refreshInterval"] == "5m"
    assert "secretStoreKind" in refusal(ON, sets=["externalSecrets.secretStoreKind=Vault"])
    renamed = one(ON, sets=["secrets.existingSecret=mine"])
    assert renamed["spec"]["target"]["name"] == "mine", "it must fill the Secret that the pods read"


def test_s058_the_key_of_the_secret_follows_the_names_that_pods_read():
    external = one(ON, sets=["secrets.keys.openaiApiKey=openai"])
    assert keys(external)["openai"] == "rae/openai-api-key"


def test_s059_none_without_it(engine):
    assert not render(EXPLICIT, engine=engine).of("ExternalSecret")
    assert not render(EXPLICIT, sets=["externalSecrets.enabled=false"]).of("ExternalSecret")


def test_s060_aws_names_are_those_that_the_document_creates():
    created = {seed.flags(c, "--name")[0] for c in seed.starting("aws", "secretsmanager", "create-secret")}
    assert created == {"rae/database-url", "rae/openai-api-key"}
    assert created <= set(keys(one(ON)).values())


def test_s061_gcp_example():
    shown = seed.values("External Secrets Operator", 1)
    external = one(shown)
    assert external["spec"]["secretStoreRef"]["name"] == "gcpsm"
    assert keys(external)["database-url"] == "projects/my-project/secrets/rae-database-url"


@pytest.mark.parametrize("nothing", [None, ""], ids=["null", "empty"])
def test_s062_a_key_can_be_left_out(nothing, engine):
    left = dict.fromkeys(("redisUrl", "openaiApiKey", "anthropicApiKey"), nothing)
    tree = {"externalSecrets": {"enabled": True, "secretStore": "gcpsm", "keys": {"databaseUrl": "db", **left}}}
    assert keys(one(tree, engine=engine)) == {"database-url": "db"}


def test_s062_only_a_store_is_enough():
    option = next(
        v for v in (seed.values("Secrets Management", i) for i in range(1)) if "keys" not in v["externalSecrets"]
    )
    assert keys(one(option)) == DEFAULT


def test_s062_older_operators_and_further_keys():
    older = one(ON, sets=["externalSecrets.apiVersion=external-secrets.io/v1beta1"])
    assert older["apiVersion"] == "external-secrets.io/v1beta1"
    more = one(ON, {"externalSecrets": {"extraKeys": {"api-master-key": "rae/api-master-key"}}})
    assert keys(more) == DEFAULT | {"api-master-key": "rae/api-master-key"}


def test_s059_the_notes_do_not_patch_a_secret_of_the_operator(engine):
    """It would take the key away at its next refresh, and then the API is open again."""
    said = notes(EXPLICIT, engine=engine)
    assert "kubectl patch secret rae-secrets" in said
    said = notes(EXPLICIT, ON, engine=engine)
    assert "CALLERS ARE NOT ASKED" in said
    assert "kubectl patch" not in said
    # What they say instead, with a name in the store, lasts: the pods wait for the key, and are shut without it.
    shown = re.search(r"^( +)config:\n(?:\1 *\S.*\n)+?(?=.*would not last)", said, re.M)
    assert shown, said
    given = yaml.safe_load(shown[0].replace("<its name in the store>", "rae/master"))
    objects = render(EXPLICIT, ON, given, engine=engine)
    assert keys(objects.of("ExternalSecret")[0])["api-master-key"] == "rae/master"
    reference = env_of(main_container(objects.workload("api")))["RAE_API_MASTER_KEY"]["secretKeyRef"]
    assert reference == {"name": "rae-secrets", "key": "api-master-key", "optional": False}
    assert config(objects)["RAE_AUTH"] == "keys"
    assert "CALLERS" not in notes(EXPLICIT, ON, given, engine=engine)
    assert "CALLERS" not in notes(EXPLICIT, ON, {"externalSecrets": given["externalSecrets"]}, engine=engine)


def test_s059_the_readme_says_so_too():
    text = (CHART / "README.md").read_text().partition("**Who is let in.**")[2].partition("\n### ")[0]
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    objects = render(EXPLICIT, ON, yaml.safe_load(block))
    assert keys(objects.of("ExternalSecret")[0])["api-master-key"] == "rae/api-master-key"
    assert config(objects)["RAE_AUTH"] == "keys"


def test_s062_without_any_key_it_is_refused():
    nothing = dict.fromkeys(("databaseUrl", "redisUrl", "openaiApiKey", "anthropicApiKey"), "")
    assert "externalSecrets" in refusal({"externalSecrets": {"enabled": True, "keys": nothing}})
