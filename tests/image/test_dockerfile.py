"""The Dockerfile under hadolint, and what it promises: one binary, no root, pinned bases, a context that suffices."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import dockerfile
import pytest
import tomllib

ROOT = dockerfile.ROOT
ARGUMENTS, STAGES = dockerfile.read()
BUILD, FINAL = STAGES


def sent(path: str) -> bool:
    """Whether .dockerignore lets a path of the repository through; the last line that fits decides."""
    ok = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        parts = path.split("/")
        above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        names = parts if pattern.startswith("**/") else above
        if any(fnmatch.fnmatchcase(name, pattern.removeprefix("**/")) for name in names):
            ok = line.startswith("!")
    return ok


def copied(stage: dockerfile.Stage) -> list[str]:
    """What a stage copies out of the repository."""
    found = []
    for line in stage.all("COPY"):
        words = [word for word in line.split() if not word.startswith("--")]
        if "--from=" not in line:
            found += words[:-1]
    return found


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The files that the build stage sees, and no others."""
    folder = tmp_path_factory.mktemp("context")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for path in listed.stdout.split("\n"):
        wanted = any(path == name or path.startswith(f"{name}/") for name in copied(BUILD))
        if path and wanted and sent(path) and (ROOT / path).is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, folder / path)
    return folder


def hadolint(text: str) -> list[str]:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, "--format", "json", "-"], input=text, capture_output=True, text=True)
    return [found["code"] for found in json.loads(done.stdout)]


def test_hadolint_finds_nothing():
    assert hadolint((ROOT / "Dockerfile").read_text()) == []


def test_hadolint_would_find_a_fault():
    text = (
        (ROOT / "Dockerfile").read_text().replace("--no-install-recommends", "").replace("bookworm-slim${DEB", "${DEB")
    )
    assert {"DL3015", "DL3006"} & set(hadolint(text))


def test_the_bases_are_debian_with_a_tag_and_may_have_a_digest():
    assert re.fullmatch(r"rust:\$\{RUST_VERSION\}-slim-bookworm\$\{RUST_DIGEST\}", BUILD.base)
    assert re.fullmatch(r"debian:bookworm-slim\$\{DEBIAN_DIGEST\}", FINAL.base)
    assert ARGUMENTS["RUST_DIGEST"] == ARGUMENTS["DEBIAN_DIGEST"] == ""


def test_the_compiler_is_that_of_the_repository():
    channel = tomllib.loads((ROOT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
    assert ARGUMENTS["RUST_VERSION"] == channel


def test_it_builds_the_server_as_locked():
    [command] = [c for c in BUILD.commands() if c.startswith("cargo build")]
    assert command == "cargo build --release --locked -p rae-server"
    assert BUILD.last("RUN").count("--mount=type=cache") == 2, "what is built is kept for the next build"


def test_one_binary_serves_every_role():
    copies = FINAL.all("COPY")
    assert [c for c in copies if "--from=build" in c] == [
        "--from=build --chmod=0755 /out/rae-server /usr/local/bin/rae-server"
    ]
    assert json.loads(FINAL.last("ENTRYPOINT")) == ["/usr/local/bin/rae-server"], "no shell before it"
    assert json.loads(FINAL.last("HEALTHCHECK").partition(" CMD ")[2]) == ["/usr/local/bin/rae-server", "healthcheck"]
    assert FINAL.last("STOPSIGNAL") == "SIGTERM"


def test_s098_it_runs_as_uid_1000():
    assert FINAL.last("USER") == "1000:1000"
    words = [word for word, _ in FINAL.instructions]
    assert "RUN" not in words[words.index("USER") :] and "ADD" not in words


def test_s096_curl_and_certificates_are_inside():
    assert {"ca-certificates", "curl"} <= set(FINAL.packages())


def test_it_listens_outside_itself_on_the_ports_of_the_roles():
    assert FINAL.environment() == {"RAE_HOST": "0.0.0.0"}, "RAE_DATA_DIR would let api start without a database"
    assert FINAL.last("EXPOSE").split() == ["8000", "8001", "8002", "8003"]
    assert FINAL.last("WORKDIR") in FINAL.folders()


def test_the_labels_are_those_of_oci():
    wanted = {"title", "description", "version", "revision", "source", "licenses", "base.name"}
    assert set(FINAL.labels()) == {f"org.opencontainers.image.{name}" for name in wanted}
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    assert FINAL.labels()["org.opencontainers.image.source"] == workspace["repository"]
    assert FINAL.labels()["org.opencontainers.image.licenses"] == workspace["license"]
    assert f"VERSION={workspace['version']}" in FINAL.all("ARG")


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.name)
def test_it_can_be_built_again(stage):
    assert "SOURCE_DATE_EPOCH" in stage.all("ARG")
    if stage is FINAL:
        assert 'DEBIAN_SNAPSHOT=""' in stage.all("ARG")
        assert any("/var/cache/ldconfig/aux-cache" in c and c.startswith("rm -rf") for c in stage.commands())


def test_no_secret_and_no_history_is_sent_to_the_builder():
    assert not any(
        map(sent, [".env", ".git/config", "target/release/rae-server", "rae-core/fuzz/Cargo.toml", "docs/api.md"])
    )
    assert all(map(sent, ["Cargo.lock", "LICENSE", "rae-server/src/main.rs", "rae-py/src/lib.rs"]))


def test_cargo_finds_the_workspace_in_what_is_copied(context):
    done = subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version", "1"], cwd=context, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    names = {package["name"] for package in json.loads(done.stdout)["packages"]}
    assert {"rae-core", "rae-server"} <= names


def test_every_file_that_the_sources_include_is_copied(context):
    seen = 0
    for source in [*context.glob("rae-core/src/**/*.rs"), *context.glob("rae-server/src/**/*.rs")]:
        text = source.read_text()
        # What tests alone include is not built.
        if "/tests" in str(source.relative_to(context)):
            continue
        for name in re.findall(r'include_(?:str|bytes)!\("([^"]+)"', text.partition("#[cfg(test)]")[0]):
            seen += 1
            assert (source.parent / name).exists(), f"{source.relative_to(context)} includes {name}"
    assert seen > 10


def test_the_copied_sources_build(context):
    if os.environ.get("RAE_IMAGE_TEST_BUILD") != "1":
        pytest.skip("the build of the Dockerfile's own context takes minutes: set RAE_IMAGE_TEST_BUILD=1")
    [command] = [c for c in BUILD.commands() if c.startswith("cargo build")]
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "image"
    done = subprocess.run(command.split(), cwd=context, env={**os.environ, "CARGO_TARGET_DIR": str(target)})
    assert done.returncode == 0
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    told = subprocess.run([target / "release/rae-server", "--version"], capture_output=True, text=True).stdout
    assert told == f"rae-server {version}\n"
