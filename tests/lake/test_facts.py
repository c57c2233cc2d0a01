"""Facts come with the put, are completed by indexes and tables, and find references."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import lake
from lake.artifacts import FACTS_PREFIX, SEQUENCE_INDEX
from lake.errors import FormatError, InvalidInput, NotFound, Unreadable
from lake.facts import load_facts, unpack_facts
from lake.formats.facts.kinds import FACT_KINDS
from lake.references import FileReferences, LakeReferences

BAM = "sim_wgs_8contigs_unplaced.bam"


@pytest.fixture
def lk(tmp_path: Path) -> lake.Lake:
    return lake.init(tmp_path / "lake")


def kinds(lk: lake.Lake, path: str) -> set[str]:
    return {a.kind for a in lk.repo.journal.artifacts(lk.reader(path).source) if a.kind.startswith(FACTS_PREFIX)}


def test_facts_are_made_at_put_and_completed_by_the_table(lk: lake.Lake, shared_data: Path) -> None:
    folder = shared_data / "genomics/bam"
    lk.put([folder / BAM, folder / f"{BAM}.bai"])
    named = {"contigs", "samples", "read_groups", "programs", "contig_stats", "chunks"}
    assert kinds(lk, BAM) == {FACTS_PREFIX + name for name in named}
    facts = lk.facts(BAM)
    assert list(facts) == [name for name in FACT_KINDS if name in named]
    assert all(facts[name].schema.equals(FACT_KINDS[name].schema) for name in facts)
    assert set(facts["chunks"]["exact"].to_pylist()) == {False}
    assert facts["chunks"]["ord"].to_pylist()[-1] == lk.stat(BAM).chunks - 1
    lk.index(BAM)
    chunks = lk.facts(BAM)["chunks"].to_pylist()
    assert {row["exact"] for row in chunks} == {True}
    assert max(row["stop"] for row in chunks if row["contig"] == "chr1_3mb") <= 3_000_000
    assert sum(lk.facts(BAM)["contig_stats"]["records"].to_pylist()) == 110_800


def test_what_was_not_made_is_made_when_asked(lk: lake.Lake, shared_data: Path) -> None:
    lk.put([shared_data / "genomics/bam" / BAM, shared_data / "genomics/fasta/ce.fa"], index=False)
    assert FACTS_PREFIX + "contig_stats" not in kinds(lk, BAM)
    assert not kinds(lk, "ce.fa")
    assert lk.facts("ce.fa")["sequences"].num_rows == 7
    assert kinds(lk, "ce.fa") == {FACTS_PREFIX + "sequences"}
    lk.slice(BAM, "*")
    assert {"contig_stats", "chunks"} <= lk.facts(BAM).keys()
    with lake.open(lk.root, readonly=True) as seen:
        assert seen.facts(BAM).keys() == lk.facts(BAM).keys()


def test_damaged_facts_are_made_again(lk: lake.Lake, shared_data: Path) -> None:
    lk.put(shared_data / "genomics/fasta/ce.fa")
    reader = lk.reader("ce.fa")
    good = lk.facts("ce.fa")["sequences"]
    for artifact in lk.repo.journal.artifacts(reader.source):
        if artifact.kind == FACTS_PREFIX + "sequences":
            import dataclasses

            lk.repo.journal.add_artifacts([dataclasses.replace(artifact, body=b"PAR1 no")])
    assert load_facts(lk.repo, reader)["sequences"].equals(good)
    with pytest.raises(FormatError):
        unpack_facts("samples", b"nothing")


def test_other_files_have_none(lk: lake.Lake, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello\n")
    lk.put(tmp_path / "note.txt")
    assert lk.facts("note.txt") == {}
    assert not kinds(lk, "note.txt")
    with pytest.raises(NotFound):
        lk.facts("nothing.bam")


def test_put_without_genomic_files_loads_no_arrow(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello\n")
    code = (
        "import lake, sys; lk = lake.init(sys.argv[1] + '/l'); lk.put(sys.argv[1] + '/note.txt');"
        "assert 'pyarrow' not in sys.modules and 'pysam' not in sys.modules"
    )
    import sys

    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)


def test_references_are_found_by_md5_in_any_fasta(lk: lake.Lake, shared_data: Path) -> None:
    folder = shared_data / "genomics/fasta"
    references = LakeReferences(lk.repo, lambda digest: lk._desk.file(digest, "x")[0])
    text = subprocess.run(["samtools", "dict", folder / "ce.fa"], check=True, capture_output=True, text=True).stdout
    name, length, md5 = (field.split(":", 1)[1] for field in text.splitlines()[2].split("\t")[1:4])
    assert references.find(md5, int(length)) is None
    lk.put(folder / "phix174.fa.gz")
    assert references.find(md5, int(length)) is None
    lk.put(folder / "ce.fa")
    found = references.find(md5.upper(), int(length))
    assert found is not None
    wanted = subprocess.run(
        ["samtools", "faidx", folder / "ce.fa", f"{name}:11-70"], check=True, capture_output=True
    ).stdout
    assert found.fetch(10, 70) == wanted.split(b"\n", 1)[1].replace(b"\n", b"")
    assert references.find(md5, int(length) + 1) is None
    assert references.find("no md5", 5) is None
    outside = FileReferences(folder / "ce.fa").find(md5, int(length))
    assert outside is not None
    assert outside.fetch(10, 70) == found.fetch(10, 70)


def test_the_md5s_of_a_file_are_sixteen_bytes_each(lk: lake.Lake, shared_data: Path) -> None:
    lk.put(shared_data / "genomics/fasta/ce.fa")
    mark, (artifact,) = lk.repo.journal.artifacts_of(SEQUENCE_INDEX)
    assert artifact.body is not None
    assert [artifact.body[at : at + 16].hex() for at in range(0, len(artifact.body), 16)] == lk.facts("ce.fa")[
        "sequences"
    ]["md5"].to_pylist()
    assert lk.repo.journal.artifacts_of(SEQUENCE_INDEX, mark) == (mark, [])


def test_missing_references_are_told_at_put(lk: lake.Lake, shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "genomics"
    name = "pacbio_longread_v30.cram"
    (item,) = lk.put(folder / "cram" / name).items
    assert any("needs reference M5" in warning for warning in item.warnings), item.warnings
    with pytest.raises(FormatError, match="reference M5"):
        lk.slice(name, format="SAM").to_bytes()
    fasta = folder / "fasta/whatshap_pacbio_ref.fasta"
    text = subprocess.run(
        ["samtools", "view", "-T", fasta, folder / "cram" / name], check=True, capture_output=True
    ).stdout
    outside = lk.slice(name, format="SAM", reference=fasta).to_bytes()
    assert outside.endswith(text)
    with lake.init(tmp_path / "other") as other:
        items = other.put([folder / "cram" / name, fasta]).items
        assert not any("reference" in warning for item in items for warning in item.warnings)
        assert other.slice(name, format="SAM").to_bytes() == outside
    (tmp_path / "no.fa").write_text("hello\n")
    with pytest.raises(InvalidInput, match="not FASTA"):
        lk.slice(name, reference=tmp_path / "no.fa")
    with pytest.raises(Unreadable):
        lk.slice(name, reference=tmp_path / "absent.fa")
