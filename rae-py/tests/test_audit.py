"""`audit`, from Python."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

import rae


def kinds(report: rae.Audit) -> list[tuple[str, list[str]]]:
    return [(finding.kind, finding.ids) for finding in report.findings]


def test_an_audit_finds_duplicates_contradictions_and_orphans(mem: rae.Rae) -> None:
    assert mem.audit() == mem.audit()
    assert mem.audit().to_dict() == {
        "checked": 0,
        "findings": [],
        "truncated": False,
        "fixed": 0,
        "kept_out": {},
    }
    code = mem.remember("The door code is 4711.", kind="fact").id
    same = mem.remember("the door code is 4711", kind="fact").id
    other = mem.remember("The door code is 4712.", kind="fact").id
    old = mem.remember("The office is in Gdansk.", kind="fact").id
    new = mem.remember("The office is in Warsaw.", kind="fact").id
    mem.update(old, superseded_by=new)
    mem.forget(new)
    report = mem.audit()
    assert report.checked == 4
    assert kinds(report) == [
        ("duplicate", [code, same]),
        ("contradiction", [code, same, other]),
        ("orphan", [old]),
    ]
    for finding in report.findings:
        assert not re.search("door|471|office|Gdansk|Warsaw", finding.message + finding.fix)
        assert re.search(r"forget\(|update\(", finding.fix)


def test_what_the_fix_says_can_be_done_and_helps(mem: rae.Rae) -> None:
    old = mem.remember("Ada lives in Porto.", kind="fact", valid_from="2020-01-01").id
    new = mem.remember("Ada lives in Ghent.", kind="fact", valid_from="2024-01-01").id
    assert kinds(mem.audit()) == [("contradiction", [old, new])]
    mem.update(old, valid_to="2024-01-01", superseded_by=new)
    assert mem.audit().findings == []
    assert [hit.id for hit in mem.recall("Where does Ada live?")] == [new]
    mem.forget(new)
    (orphan,) = mem.audit().findings
    assert orphan.fix.startswith(f'update("{old}", superseded_by=')
    mem.update(old, superseded_by=None)
    assert mem.audit().findings == []


def test_users_keep_their_own_and_projects_are_apart(mem: rae.Rae) -> None:
    mem.remember("I live in Porto.", user_id="ada")
    mem.remember("I live in Ghent.", user_id="bob")
    mem.remember("i live in porto", user_id="bob")
    mem.with_scope(project="other").remember("I live in Ghent.", user_id="ada")
    assert mem.audit().findings == []


@pytest.mark.parametrize("limit", [-1, 0, 1001, 10**9, 10**30, -(10**30)])
def test_a_limit_out_of_range_is_refused(mem: rae.Rae, limit: int) -> None:
    with pytest.raises(rae.InvalidInputError, match="from 1 to 1000") as caught:
        mem.audit(limit=limit)
    assert (caught.value.code, caught.value.operation) == ("invalid_limit", "audit")


@pytest.mark.parametrize("limit", [True, 1.5, "5", None, [], Decimal(3)])
def test_a_limit_of_another_type_is_refused(mem: rae.Rae, limit: Any) -> None:
    with pytest.raises(rae.InvalidInputError, match="limit must be a whole number"):
        mem.audit(limit=limit)


def test_the_limit_cuts_and_says_so(mem: rae.Rae) -> None:
    for i in range(5):
        mem.remember(f"Note {i} stands here.")
        mem.remember(f"note {i} stands here")
    cut = mem.audit(limit=3)
    assert (len(cut.findings), cut.truncated, cut.checked) == (3, True, 10)
    assert cut.findings == mem.audit(limit=1000).findings[:3]


def test_a_closed_store_is_not_audited(mem: rae.Rae) -> None:
    mem.close()
    with pytest.raises(rae.UnavailableError):
        mem.audit()


def test_what_an_audit_fixes_can_be_undone(mem: rae.Rae) -> None:
    code = mem.remember("The door code is 4711.", kind="fact", tags=["door"]).id
    same = mem.remember("the door code is 4711", kind="fact").id
    (dry,) = mem.audit().findings
    assert dry.automatic is not None
    assert dry.change is None
    report = mem.audit(fix=True)
    (done,) = report.findings
    assert (report.fixed, done.automatic) == (1, dry.automatic)
    assert mem.get(same).superseded_by == code
    assert mem.audit(fix=True).findings == []
    (change,) = mem.changes().items
    assert (change.id, change.action, change.undoable) == (done.change, "audit_fix", True)
    assert sorted(change.ids) == sorted([code, same])
    undone = mem.undo(change.id)
    assert (undone.undone, undone.replayed) == (change.id, False)
    assert mem.get(same).superseded_by is None
    assert mem.undo(change.id).replayed
    page = mem.changes(limit=1)
    assert page.items[0].id == undone.id
    assert page.next_cursor is not None
    assert mem.changes(cursor=page.next_cursor).items[0].undone_by == undone.id


def test_what_cannot_be_undone_says_so(mem: rae.Rae) -> None:
    mem.forget(mem.remember("Ada saw a heron.").id)
    (gone,) = mem.changes().items
    assert (gone.action, gone.undoable, gone.ids) == ("forget", False, [])
    with pytest.raises(rae.ConflictError) as caught:
        mem.undo(gone.id)
    assert caught.value.code == "not_undoable"
    with pytest.raises(rae.NotFoundError):
        mem.undo("019b76da-a800-7f8b-b8ba-e301f1cd0878")
    with pytest.raises(rae.InvalidInputError):
        mem.undo("the last")


def test_a_store_that_enriches_reads_facts_unasked() -> None:
    for enrich, facts in (("rules", 1), ("off", 0), (None, 0)):
        with rae.open(":memory:", enrich=enrich) as mem:
            mem.remember("I live in Oslo.", speaker="Ada")
            mem.maintain()
            assert len(mem.list(filter={"kind": "fact"}).items) == facts
    with pytest.raises(rae.InvalidInputError) as caught:
        rae.open(":memory:", enrich="model")
    assert caught.value.code == "enrich_model"
    with pytest.raises(rae.InvalidInputError, match="off, rules or model"):
        rae.open(":memory:", enrich="all")  # type: ignore[arg-type]
