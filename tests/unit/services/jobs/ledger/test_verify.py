"""Whatever is done to a line of the trail is found; what a crash does to its end is told apart from it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.jobs.ledger.chain import Chain
from services.jobs.ledger.checking import Damage
from services.jobs.ledger.entries import AuditEvent, Note
from services.jobs.ledger.verify import Verification, verify
from tests.support.ledger import heads_in, lines_of, put_lines, write_chain

ENTRIES = 6
LINES = ENTRIES + 2  # STARTED, STOPPED


def damages(report: Verification) -> set[Damage]:
    return {finding.damage for finding in report.findings}


def rewritten(line: bytes, **changes: object) -> bytes:
    """Return the line with other content and a ``hash`` that fits: what somebody does who knows the format."""
    entry = json.loads(line) | changes
    del entry["hash"]
    body = json.dumps(entry, separators=(",", ":")).encode()[:-1]
    return body + b',"hash":"' + hashlib.sha256(body).hexdigest().encode() + b'"}'


def test_untouched_trail_is_sound(tmp_path: Path) -> None:
    for _ in range(3):
        write_chain(tmp_path, entries=ENTRIES)
    report = verify(tmp_path, heads_in(tmp_path))
    assert report.is_sound
    assert (report.chains, report.entries, report.notes) == (3, 3 * LINES, ())


@pytest.mark.parametrize("number", range(LINES))
def test_deletion_of_any_line_is_found(tmp_path: Path, number: int) -> None:
    path = write_chain(tmp_path, entries=ENTRIES)
    heads, lines = heads_in(tmp_path), lines_of(path)
    put_lines(path, lines[:number] + lines[number + 1 :])
    (finding,) = verify(tmp_path, heads).findings
    assert finding.damage is (Damage.CUT_TAIL if number == LINES - 1 else Damage.DELETED)
    assert (finding.file, finding.line) == (path.name, number + 1)


@pytest.mark.parametrize("number", range(LINES))
@pytest.mark.parametrize("is_rehashed", [False, True])
def test_edit_of_any_line_is_found_where_it_is(tmp_path: Path, number: int, is_rehashed: bool) -> None:
    path = write_chain(tmp_path, entries=ENTRIES)
    heads, lines = heads_in(tmp_path), lines_of(path)
    lines[number] = (
        rewritten(lines[number], film="f" * 32) if is_rehashed else lines[number].replace(b"worker", b"forger")
    )
    put_lines(path, lines)
    (finding,) = verify(tmp_path, heads).findings
    assert (finding.damage, finding.line) == (Damage.EDITED, number + 1)


def test_lines_in_another_order_are_found(tmp_path: Path) -> None:
    path = write_chain(tmp_path, entries=ENTRIES)
    heads, lines = heads_in(tmp_path), lines_of(path)
    lines[2], lines[3] = lines[3], lines[2]
    put_lines(path, lines)
    assert damages(verify(tmp_path, heads)) == {Damage.REORDERED}


def test_repeated_line_is_found(tmp_path: Path) -> None:
    path = write_chain(tmp_path, entries=ENTRIES)
    heads, lines = heads_in(tmp_path), lines_of(path)
    put_lines(path, [*lines[:4], lines[2], *lines[4:]])
    assert damages(verify(tmp_path, heads)) == {Damage.INSERTED}


def test_tail_that_was_written_anew_is_found(tmp_path: Path) -> None:
    path = write_chain(tmp_path, entries=ENTRIES)
    heads, lines = heads_in(tmp_path), lines_of(path)
    forged = rewritten(lines[-2], film="f" * 32)
    last = rewritten(lines[-1], previous=hashlib.sha256(forged).hexdigest())
    put_lines(path, [*lines[:-2], forged, last])
    (finding,) = verify(tmp_path, heads).findings
    assert (finding.damage, finding.line) == (Damage.EDITED, LINES)


def test_missing_file_is_found_through_redis_and_through_the_next_chain(tmp_path: Path) -> None:
    first, second = write_chain(tmp_path, entries=1), write_chain(tmp_path, entries=1)
    heads = heads_in(tmp_path)
    first.unlink()
    assert [(found.file, found.damage) for found in verify(tmp_path, None).findings] == [
        (first.name, Damage.MISSING_FILE)
    ]
    second.unlink()
    assert len(verify(tmp_path, heads).findings) == 2
    assert verify(tmp_path, None).is_sound  # nothing is left that could tell


def test_cut_tail_of_an_older_chain_is_found_without_redis(tmp_path: Path) -> None:
    path = write_chain(tmp_path, entries=ENTRIES)
    write_chain(tmp_path, entries=1)
    put_lines(path, lines_of(path)[:-3])
    (finding,) = verify(tmp_path, None).findings
    assert (finding.file, finding.line, finding.damage) == (path.name, LINES - 2, Damage.CUT_TAIL)


def test_every_chain_is_vouched_for_once_and_a_living_one_again_when_it_has_grown(tmp_path: Path) -> None:
    living = Chain(tmp_path, "api")
    living.append([])
    names = [write_chain(tmp_path, entries=1).name for _ in range(3)]
    living.append([Note(event=AuditEvent.ACCEPTED)])
    last = write_chain(tmp_path, entries=1)
    living.close()
    vouched_for = [set(json.loads(lines_of(tmp_path / name)[0])["chains"]) for name in names]
    assert vouched_for == [{living.name}, {names[0]}, {names[1]}]
    assert set(json.loads(lines_of(last)[0])["chains"]) == {living.name, names[2]}


def test_large_chain_is_continued_in_another_that_vouches_for_it(tmp_path: Path) -> None:
    chain = Chain(tmp_path, "worker", largest_bytes=1000)
    files: dict[str, None] = {}  # in the order in which they were begun
    for _ in range(9):
        chain.append([Note(event=AuditEvent.ACCEPTED)])
        assert chain.name is not None
        files[chain.name] = None
    chain.close()
    # How many entries a file takes depends on the lengths of its host's name and its process' number.
    assert 2 < len(files) < 9
    report = verify(tmp_path, None)
    assert report.is_sound
    assert (report.chains, report.entries) == (len(files), 9 + len(files))
    first, second, *_ = (tmp_path / name for name in files)
    assert json.loads(lines_of(second)[0])["continues"] == first.name
    put_lines(first, lines_of(first)[:-1])
    assert damages(verify(tmp_path, None)) == {Damage.CUT_TAIL}


def test_line_torn_by_a_crash_is_no_finding_but_a_torn_line_that_was_durable_is(tmp_path: Path) -> None:
    path = write_chain(tmp_path, entries=ENTRIES, is_stopped=False)
    heads, whole = heads_in(tmp_path), path.read_bytes()
    path.write_bytes(whole + b'{"seq":8,"time":"20')
    report = verify(tmp_path, heads)
    assert report.is_sound
    assert report.notes == (f"{path.name}:8: torn by a crash, or being written",)
    path.write_bytes(whole[:-1])
    assert damages(verify(tmp_path, heads)) == {Damage.CUT_TAIL}


def test_without_redis_the_report_says_what_was_not_checked(tmp_path: Path) -> None:
    path = write_chain(tmp_path, entries=ENTRIES)
    put_lines(path, lines_of(path)[:-1])
    report = verify(tmp_path, None)
    assert report.is_sound
    assert "without Redis" in report.notes[0]


def test_retired_file_is_not_missed_unless_redis_still_names_it(tmp_path: Path) -> None:
    path = write_chain(tmp_path, entries=ENTRIES)
    heads = heads_in(tmp_path)
    chain = Chain(tmp_path, "worker")
    facts = {"file": path.name, "last": str(heads[path.name])}
    chain.append([Note(event=AuditEvent.CHAIN_RETIRED, facts=facts)])
    chain.close()
    path.unlink()
    assert verify(tmp_path, None).is_sound
    assert verify(tmp_path, heads_in(tmp_path)).is_sound
    assert damages(verify(tmp_path, heads)) == {Damage.MISSING_FILE}  # somebody else wrote that line


def test_chain_that_cannot_be_read_is_a_finding_and_keeps_nobody_from_writing(tmp_path: Path) -> None:
    write_chain(tmp_path, entries=1)
    (tmp_path / "cli-of-another-user.jsonl").mkdir()  # as unreadable as another user's file, for root too
    write_chain(tmp_path, entries=1)
    report = verify(tmp_path, heads_in(tmp_path))
    assert [(found.file, found.damage) for found in report.findings] == [
        ("cli-of-another-user.jsonl", Damage.UNREADABLE)
    ]
    assert report.entries == 6


def test_continuation_names_its_predecessor_also_where_the_disk_refused_it_at_first(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    chain = Chain(directory, "worker", largest_bytes=1)
    chain.append([])
    first = chain.name
    directory.rename(tmp_path / "elsewhere")
    directory.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        chain.append([])
    directory.unlink()
    (tmp_path / "elsewhere").rename(directory)
    chain.append([])
    assert chain.name is not None
    assert json.loads(lines_of(directory / chain.name)[0])["continues"] == first
    chain.close()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_change_of_bytes_is_found(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        paths = [write_chain(directory, entries=count) for count in (3, 0, 2)]
        heads = heads_in(directory)
        path = data.draw(st.sampled_from(paths))
        content = path.read_bytes()
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, len(content)))
        put = data.draw(st.one_of(st.just(b""), st.binary(max_size=40), st.just(b"\n")))
        changed = content[:start] + put + content[end:]
        path.write_bytes(changed)
        # Bytes after the last newline are what a crash leaves, and nobody reads them.
        is_only_torn = changed.startswith(content) and b"\n" not in changed[len(content) :]
        assert verify(directory, heads).is_sound == is_only_torn
