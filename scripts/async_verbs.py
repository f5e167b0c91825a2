#!/usr/bin/env python3
"""Writes the asynchronous twins of the Python verbs: rae-py/python/rae/_averbs from rae-py/python/rae/_verbs.

A twin has the signature of its verb and hands every argument to it, in a thread of the store. Usage:

    python scripts/async_verbs.py            # writes the modules
    python scripts/async_verbs.py --check    # writes nothing, and fails where one is out of date

What it writes is as `ruff format` leaves it, so that nothing has to be installed to run it.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "rae-py" / "python" / "rae"
# Not written here: what the twins stand on, and the verbs that give handles, whose twins give other handles.
BY_HAND = {"__init__", "base", "models"}
WIDTH = 100  # of the package, rae-py/pyproject.toml


def laid_out(indent: str, head: str, items: list[str], tail: str) -> str:
    """`head(items)tail` on one line, with the items on a line of their own, or with a line for each."""
    inside = ", ".join(items)
    line = f"{indent}{head}({inside}){tail}"
    if len(line) <= WIDTH:
        return line
    if len(f"{indent}    {inside}") <= WIDTH:
        return f"{indent}{head}(\n{indent}    {inside}\n{indent}){tail}"
    lines = "".join(f"{indent}    {item},\n" for item in items)
    return f"{indent}{head}(\n{lines}{indent}){tail}"


class Module:
    """One subject: a module of `_verbs`."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.source = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.source, str(path))
        (self.part,) = (n for n in self.tree.body if isinstance(n, ast.ClassDef) and n.name == "Rae")
        self.verbs = [n for n in self.part.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
        for verb in self.verbs:
            if verb.decorator_list or verb.args.vararg or verb.args.posonlyargs or verb.returns is None:
                where = f"{path.name}: {verb.name}"
                sys.exit(
                    f"{where}: decorators, *args, a slash or a missing answer need a twin by hand, as in models.py"
                )

    def text(self, node: ast.AST) -> str:
        """A type or a default as it stands in the source, on one line."""
        return " ".join((ast.get_source_segment(self.source, node) or ast.unparse(node)).split())

    def parameter(self, arg: ast.arg, default: ast.expr | None) -> str:
        typed = arg.arg if arg.annotation is None else f"{arg.arg}: {self.text(arg.annotation)}"
        if default is None:
            return typed
        return f"{typed}{'=' if arg.annotation is None else ' = '}{self.text(default)}"

    def parameters(self, args: ast.arguments) -> list[str]:
        none: list[ast.expr | None] = [None]
        defaults = none * (len(args.args) - len(args.defaults)) + list(args.defaults)
        out = [self.parameter(arg, default) for arg, default in zip(args.args, defaults, strict=True)]
        if args.kwonlyargs:
            out.append("*")
        out += [self.parameter(arg, default) for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
        if args.kwarg:
            out.append("**" + self.parameter(args.kwarg, None))
        return out

    def twin(self, verb: ast.FunctionDef) -> str:
        assert verb.returns is not None
        answer = self.text(verb.returns)
        passed = [f"self._rae.{verb.name}"]
        passed += [arg.arg for arg in verb.args.args[1:]]
        passed += [f"{arg.arg}={arg.arg}" for arg in verb.args.kwonlyargs]
        if verb.args.kwarg:
            passed.append("**" + verb.args.kwarg.arg)
        head = laid_out("    ", f"async def {verb.name}", self.parameters(verb.args), f" -> {answer}:")
        call = laid_out("        ", ("" if answer == "None" else "return ") + "await self._run", passed, "")
        return f'{head}\n        """See `Rae.{verb.name}`."""\n{call}\n'

    def imports(self) -> str:
        """What the signatures name, from where the verbs have it."""
        signatures = [part for verb in self.verbs for part in (verb.args, verb.returns) if part is not None]
        used = {n.id for part in signatures for n in ast.walk(part) if isinstance(n, ast.Name)}
        plain: list[str] = []
        others: list[tuple[str, str]] = [("rae._averbs.base", "from rae._averbs.base import AsyncHandle\n")]
        for node in self.tree.body:
            if isinstance(node, ast.Import):
                plain += [f"import {alias.name}\n" for alias in node.names if alias.name in used]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [alias.name for alias in node.names if alias.name in used]
                line = f"from {node.module} import {', '.join(names)}\n"
                if len(line) > WIDTH + 1:
                    line = f"from {node.module} import (\n" + "".join(f"    {name},\n" for name in names) + ")\n"
                if names:
                    others.append((node.module, line))
        ours = [line for module, line in sorted(others) if module.startswith("rae.")]
        standard = plain + [line for module, line in sorted(others) if not module.startswith("rae.")]
        return "\n".join("".join(group) for group in (standard, ours) if group)

    def twins(self) -> str:
        """The module of the twins."""
        parts = [
            f'"""The twins of `rae._verbs.{self.name}`. Written by scripts/async_verbs.py: change those instead."""\n',
            "from __future__ import annotations\n",
            self.imports(),
            f'\nclass AsyncRae(AsyncHandle):\n    """{ast.get_docstring(self.part)}"""\n',
            "    __slots__ = ()\n",
            *(self.twin(verb) for verb in self.verbs),
        ]
        return "\n".join(parts)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--check", action="store_true", help="write nothing, and fail where a module is out of date")
    check = options.parse_args().check
    modules = [Module(path) for path in sorted((PACKAGE / "_verbs").glob("*.py")) if path.stem not in BY_HAND]
    wanted = {PACKAGE / "_averbs" / f"{module.name}.py": module.twins() for module in modules}
    there = {path for path in (PACKAGE / "_averbs").glob("*.py") if path.stem not in BY_HAND}
    stale = [path for path, text in wanted.items() if path not in there or path.read_text(encoding="utf-8") != text]
    left = sorted(there - set(wanted))
    if check:
        names = ", ".join(path.name for path in stale + left)
        sys.exit(f"out of date in _averbs: {names}; run python scripts/async_verbs.py" if names else 0)
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
        print(f"wrote {path.relative_to(PACKAGE.parent)}")
    for path in left:
        path.unlink()
        print(f"removed {path.relative_to(PACKAGE.parent)}")


if __name__ == "__main__":
    main()
