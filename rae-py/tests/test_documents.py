"""The examples of the pages, as they are printed."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "concepts"
# Its examples need a model and a key of the reader's.
OTHERS = {"embedders"}
PAGES = sorted(page for page in FOLDER.glob("*.md") if page.stem not in OTHERS)
PRINTED = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)


def blocks(page: Path) -> list[str]:
    return [part.split("```")[0] for part in page.read_text("utf-8").split("```python\n")[1:]]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem
)
def test_the_examples_of_a_page_run_from_top_to_bottom_and_print_what_they_say(
    page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(said):
        for block in blocks(page):
            exec(compile(block, str(page), "exec"), names)
    lines = iter(said.getvalue().splitlines())
    for told in (told for block in blocks(page) for told in PRINTED.findall(block)):
        assert told in lines, f"{told!r} is not printed behind what stands before it"
    assert not list(tmp_path.iterdir()), "an example leaves a file behind"
