"""The life of a memory and the check of an erasure, as Python meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rae
from rae import cli


def test_strength_sinks_without_use_and_a_policy_forgets(tmp_path: Path) -> None:
    path = tmp_path / "agent.rae"
    policy = {"forget_below": 0.2, "protected_tags": ("keep",), "protected_kinds": None}
    with rae.open(path, lifecycle=policy, _test_now="2026-01-01") as mem:
        weak = mem.remember("I had tea.", layer="episodic", importance=0.2)
        kept = mem.remember("I had coffee.", layer="episodic", importance=0.2, tags=["keep"])
        strong = mem.remember("I had a son.", layer="episodic", importance=1.0)
        mem._native.test_advance(90 * 86_400)
        ran = mem.maintain().ran
        assert (ran["forgotten"], ran["faded"]) == (1, 1)
        assert mem.get(kept.id).strength == 1.0
        assert mem.get(strong.id).strength == 0.5
        with pytest.raises(rae.NotFoundError):
            mem.get(weak.id)


@pytest.mark.parametrize("policy", [{"forget": 1}, {"forget_below": 2}, {"decay": "no"}, []])
def test_a_policy_that_is_none_is_refused(policy: object) -> None:
    with pytest.raises(rae.InvalidInputError):
        rae.open(":memory:", lifecycle=policy)  # type: ignore[arg-type]


def test_an_erasure_is_checked_by_its_receipt(tmp_path: Path) -> None:
    with rae.open(tmp_path / "agent.rae") as mem:
        id = mem.remember("The vault opens at nine.").id
        before = tmp_path / "before.jsonl"
        mem.export(before)
        gone = mem.forget(id)
        report = mem.verify_erasure(gone)
        assert (report.clean, report.bound, report.ids) == (True, True, 1)
        assert report == mem.verify_erasure(gone.receipt, exports=[])
        report = mem.verify_erasure(gone.receipt, exports=[before])
        assert not report.clean
        assert [p.place for p in report.places if p.state == "found"] == [f"export {before}"]
        mem.import_(before)
        report = mem.verify_erasure(gone.receipt)
        assert "memories" in [p.place for p in report.places if p.state == "found"]
        with pytest.raises(rae.InvalidInputError) as raised:
            mem.with_scope(project="other").verify_erasure(gone.receipt)
        assert raised.value.code == "other_project"
        with pytest.raises(rae.InvalidInputError):
            mem.verify_erasure(gone.receipt, exports="before.jsonl")


def test_a_text_is_found_in_another_writing_and_the_names_of_fields_are_no_text(
    mem: rae.Rae,
) -> None:
    gone = mem.forget(mem.remember("The vault opens at nine.").id)
    mem.remember("νικος kept the key.", metadata={"vault_code": 1})

    def state(text: str) -> str:
        places = mem.verify_erasure(gone, texts=[text]).places
        return next(p.state for p in places if p.place == "text in memories")

    assert state("ΝΙΚΟΣ") == "found"
    assert state("VAULT_CODE") == "found"
    assert state("content") != "found"


def test_texts_that_were_erased_are_looked_for_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, texts = tmp_path / "agent.rae", ["vault opens at nine"]
    with rae.open(path) as mem:
        id = mem.remember("The vault opens at nine.").id
        gone = mem.forget(id)
        report = mem.verify_erasure(gone, texts=texts)
        assert report.clean
        assert "text in file agent.rae" in [place.place for place in report.places]
        mem.remember("I heard that the vault opens at nine.")
        report = mem.verify_erasure(gone, texts=texts)
        assert "text in memories" in [p.place for p in report.places if p.state == "found"]
        for wrong in ["vault", ["abc"], ["x" * 5] * 17, [b"vault"]]:
            with pytest.raises(rae.InvalidInputError):
                mem.verify_erasure(gone, texts=wrong)  # type: ignore[arg-type]
    receipt, lines = tmp_path / "receipt.json", tmp_path / "texts.txt"
    receipt.write_text(json.dumps(gone.receipt))
    command = ["verify-erasure", str(path), str(receipt), "--texts", str(lines)]
    lines.write_text("nobody said this\n\n")
    assert cli.main(command) == 0
    lines.write_text("nobody said this\nvault opens at nine\n")
    capsys.readouterr()
    assert cli.main(command) == 1
    out = capsys.readouterr().out
    assert "found  text in memories" in out
    assert "opens at nine" not in out
    assert cli.main([*command[:-1], str(tmp_path / "none.txt")]) == 2


def test_the_command_ends_with_1_when_something_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, before = str(tmp_path / "agent.rae"), str(tmp_path / "before.jsonl")
    with rae.open(store) as mem:
        id = mem.remember("The vault opens at nine.").id
        mem.export(before)
    capsys.readouterr()
    assert cli.main(["forget", store, id, "--json"]) == 0
    receipt = tmp_path / "receipt.json"
    receipt.write_text(capsys.readouterr().out)
    assert cli.main(["verify-erasure", store, str(receipt)]) == 0
    assert "1 id: nothing is left" in capsys.readouterr().out
    assert cli.main(["verify-erasure", store, str(receipt), "--export", before]) == 1
    assert f"found  export {before}" in capsys.readouterr().out
    assert cli.main(["import", store, before]) == 0
    capsys.readouterr()
    assert cli.main(["verify-erasure", store, str(receipt), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["clean"] is False
    assert cli.main(["verify-erasure", store, str(tmp_path / "none.json")]) == 2
