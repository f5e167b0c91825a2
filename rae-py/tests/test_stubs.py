"""The stubs say what is there, and the type checker believes them."""

from __future__ import annotations

import ast
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rae
from rae import _rae

PACKAGE = Path(rae.__file__).parent
HERE = Path(__file__).parent


def stub_names() -> dict[str, set[str]]:
    """Names of the stub: of the module under "", of each class under its own."""
    tree = ast.parse((PACKAGE / "_rae.pyi").read_text(encoding="utf-8"))
    names: dict[str, set[str]] = {"": set()}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names[""].add(node.name)
            names[node.name] = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            names[""].add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[""].add(node.target.id)
    return names


def test_every_native_name_has_a_stub_and_the_other_way_round() -> None:
    stubs = stub_names()
    hidden = {"__all__", "__doc__", "__file__", "__loader__", "__name__", "__package__", "__spec__"}
    assert set(dir(_rae)) - hidden == stubs[""]
    for name, members in stubs.items():
        if not name:
            continue
        cls = getattr(_rae, name)
        real = {n for n in vars(cls) if not n.startswith("_")}
        assert real == {n for n in members if not n.startswith("_")}, name
        for dunder in (
            "__len__",
            "__iter__",
            "__getitem__",
            "__contains__",
            "__reversed__",
            "__enter__",
            "__exit__",
        ):
            assert (dunder in vars(cls)) == (dunder in members), (name, dunder)


def test_everything_public_is_exported_and_documented() -> None:
    assert sorted(rae.__all__) == sorted(set(rae.__all__))
    assert dir(rae) == sorted(rae.__all__)
    for name in rae.__all__:
        value = getattr(rae, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name
    for cls in (rae.Rae, rae.AsyncRae):
        for name, member in inspect.getmembers(cls):
            if not name.startswith("_"):
                assert member.__doc__, f"{cls.__name__}.{name}"
    with pytest.raises(AttributeError):
        rae.later  # noqa: B018


def test_docstrings_of_attributes_are_the_same_in_stub_and_module() -> None:
    tree = ast.parse((PACKAGE / "_rae.pyi").read_text(encoding="utf-8"))
    for cls in (n for n in tree.body if isinstance(n, ast.ClassDef) and hasattr(rae, n.name)):
        for function in (
            n for n in cls.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")
        ):
            stub = ast.get_docstring(function)
            real = getattr(getattr(rae, cls.name), function.name).__doc__
            assert stub, f"{cls.name}.{function.name}"
            assert " ".join(stub.split()) == " ".join(real.split()), f"{cls.name}.{function.name}"


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.skipif(
    shutil.which("mypy", path=Path(sys.executable).parent) is None, reason="mypy is not installed"
)
def test_a_program_that_uses_everything_passes_a_strict_type_checker(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", "--no-incremental",
        "--cache-dir", os.devnull, str(HERE / "typing" / "sample.py"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = subprocess.run(
        [*command[:-1], str(HERE / "typing" / "wrong.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    marked = [
        i
        for i, line in enumerate((HERE / "typing" / "wrong.py").read_text().splitlines(), 1)
        if "# wrong" in line
    ]
    found = {int(line.split(":")[1]) for line in wrong.stdout.splitlines() if ": error:" in line}
    assert found == set(marked), wrong.stdout
