"""Files that are no store, cannot be written, or are full: a clear error, and their bytes as they were."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import textwrap
from pathlib import Path

import pytest

import rae

from conftest import Python, file_bytes, turns

POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions and limits of POSIX")


def make(store: Path, count: int = 10) -> None:
    with rae.open(store) as mem:
        mem.remember_many(turns(count))


@pytest.mark.parametrize("path", ["", "nul\0byte", None, 5, b"bytes.rae", ["a"], True])
def test_a_path_is_a_str_or_a_path(path: object) -> None:
    with pytest.raises(rae.InvalidInputError, match="path"):
        rae.open(path)  # type: ignore[arg-type]


def test_a_directory_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent" / "agent.rae", str(tmp_path) + "/"):
        with pytest.raises(rae.InvalidInputError):
            rae.open(path)
    assert list(tmp_path.iterdir()) == []


def test_memory_is_not_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with rae.open(":memory:") as mem:
        mem.remember("Nowhere.")
        assert "':memory:'" in repr(mem)
    assert list(tmp_path.iterdir()) == []


def test_any_name_that_a_file_can_have_works(tmp_path: Path) -> None:
    for name in ("with space.rae", "ünïcødé 记忆 🙂.rae", "file:x?mode=ro", "a%b#c", "-dash"):
        make(tmp_path / name, 1)
        with rae.open(str(tmp_path / name)) as mem:
            assert mem.stats().memories == 1


@pytest.mark.parametrize(
    "content",
    [
        b"This is my diary, not a store.\n" * 100,
        b"x",
        b"\0" * 5000,
        b"SQLite format 3\0" + b"\xff" * 5000,
    ],
)
def test_a_file_that_is_no_store_stays_as_it_is(store: Path, content: bytes) -> None:
    store.write_bytes(content)
    with pytest.raises(rae.CorruptError):
        rae.open(store)
    assert file_bytes(store) == {store.name: content}


def test_the_database_of_another_program_stays_as_it_is(store: Path) -> None:
    other = sqlite3.connect(store)
    other.execute("CREATE TABLE theirs (a)")
    other.commit()
    other.close()
    before = file_bytes(store)
    with pytest.raises(rae.CorruptError):
        rae.open(store)
    assert file_bytes(store) == before


def test_an_empty_file_becomes_a_store(store: Path) -> None:
    store.touch()
    make(store)


def test_a_store_of_a_newer_version_is_refused_and_stays_as_it_is(store: Path) -> None:
    make(store)
    raw = sqlite3.connect(store)
    (version,) = raw.execute("PRAGMA user_version").fetchone()
    raw.execute(f"PRAGMA user_version = {version + 1}")
    raw.commit()
    raw.close()
    before = file_bytes(store)
    with pytest.raises(rae.UnsupportedError, match="newer"):
        rae.open(store)
    assert file_bytes(store) == before


def is_damaged(store: Path) -> bool:
    try:
        with rae.open(store) as mem:
            return any(finding.level == "error" for finding in mem.doctor())
    except rae.CorruptError:
        return True


def test_a_damaged_store_is_reported(store: Path) -> None:
    make(store, 2_000)
    content = bytearray(store.read_bytes())
    for start in range(3 * 4096, len(content), 4096):
        content[start : start + 2048] = os.urandom(2048)
    store.write_bytes(content)
    assert is_damaged(store)


READ_ONLY = """
    import ctypes, os, sys
    import rae
    if os.getuid() == 0:
        # Root may write every file. Without its capabilities it is a user like any other.
        header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None).capset(header, none) != 0:
            sys.exit(77)
    store = sys.argv[1]
    with rae.open(store) as mem:
        print(mem.stats().memories, len(mem.recall("note", k=3)), mem.context("note").token_count > 0)
        for call in (lambda: mem.remember("x"), lambda: mem.forget(scope="project", target="default")):
            try:
                call()
                print("written")
            except rae.PermissionDeniedError as error:
                print(error.kind)
    try:
        rae.open(os.path.join(os.path.dirname(store), "new.rae"))
    except rae.PermissionDeniedError as error:
        print(error.kind)
"""


@POSIX
@pytest.mark.parametrize("folder_mode", [0o555, 0o755])
def test_a_store_that_may_only_be_read_is_read(
    tmp_path: Path, python: Python, folder_mode: int
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    store = folder / "agent.rae"
    make(store)
    store.chmod(0o444)
    folder.chmod(folder_mode)
    before = file_bytes(store)
    process = python.start(READ_ONLY, store)
    out, err = process.communicate(timeout=60)
    folder.chmod(0o755)
    if process.returncode == 77:
        pytest.skip("root cannot give up its capabilities here: a read-only file cannot be tried")
    assert process.returncode == 0, err
    denied = ["permission_denied"] * (3 if folder_mode == 0o555 else 2)
    assert out.splitlines() == ["10 3 True", *denied]
    assert file_bytes(store)[store.name] == before[store.name]


FILL = """
    import sys
    import rae
    store = sys.argv[1]
    acknowledged = 0
    mem = rae.open(store)
    mem.remember("The first memory is here.")
    try:
        for i in range(10_000):
            mem.remember_many({"content": f"{i} {j} " + "filler " * 50} for j in range(50))
            acknowledged += 50
        print("never full")
    except rae.UnavailableError as error:
        print(error.code)
    print(acknowledged, mem.stats().memories - 1, mem.recall("first memory")[0].content, sep="|")
    mem.close()
"""


def check_full(out: str, code: set[str]) -> None:
    first, second = out.splitlines()
    acknowledged, stored, content = second.split("|")
    assert first in code
    assert int(acknowledged) <= int(stored) <= int(acknowledged) + 50
    assert content == "The first memory is here."


def check_sound(store: Path) -> None:
    with rae.open(store) as mem:
        assert all(finding.level != "error" for finding in mem.doctor())
        mem.remember("There is room again.")


@POSIX
def test_a_full_disk_is_unavailable_and_loses_nothing(tmp_path: Path, python: Python) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, *options], capture_output=True, check=False).returncode
    ):
        pytest.skip(
            "a small file system cannot be mounted here; the size limit below stands for it"
        )
    try:
        check_full(python.run(FILL, disk / "agent.rae"), {"disk_full", "io_error"})
        for file in disk.glob("agent.rae*"):
            (shutil.copytree if file.is_dir() else shutil.copy)(file, tmp_path / file.name)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    check_sound(tmp_path / "agent.rae")


@POSIX
def test_a_limit_of_file_size_is_unavailable_and_loses_nothing(store: Path, python: Python) -> None:
    limit = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    """
    check_full(
        python.run(textwrap.dedent(limit) + textwrap.dedent(FILL), store), {"disk_full", "io_error"}
    )
    check_sound(store)
