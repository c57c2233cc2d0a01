"""The FAI that we build is the one that htslib builds, and refuses what it refuses."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pysam
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lake.errors import FormatError
from lake.formats.compression.inflated import open_content
from lake.formats.path_reader import PathReader
from lake.formats.sequences.fai_build import build_fai
from lake.formats.sequences.faidx import FaiRecord, encode_fai, parse_fai, same_places


def _built(path: Path) -> list[FaiRecord]:
    with PathReader(path) as reader:
        return build_fai(piece.data for piece in open_content(reader).all())


def _by_htslib(data: bytes, path: Path) -> list[FaiRecord] | None:
    path.write_bytes(data)
    index = Path(f"{path}.fai")
    index.unlink(missing_ok=True)
    try:
        pysam.FastaFile(str(path)).close()
    except OSError:
        return None
    try:
        return parse_fai(index.read_bytes())
    except FormatError:
        # Of a sequence that begins with an empty line it writes lines of no bases, by which samtools then divides.
        return None


def test_every_real_file_gives_the_index_that_lies_beside_it(shared_data: Path) -> None:
    folder = shared_data / "genomics"
    compared = 0
    for index in [*folder.glob("fasta/*.fai"), *folder.glob("edge/*.fai")]:
        if index.name != "zero_linewidth_fai.fa.fai":
            assert encode_fai(_built(index.with_suffix(""))) == index.read_bytes(), index.name
            compared += 1
    assert compared == 15


def test_lines_of_different_lengths_are_refused_with_the_place(shared_data: Path) -> None:
    with pytest.raises(FormatError, match="different line length in sequence 'phix_ragged' at byte 74"):
        _built(shared_data / "genomics" / "edge" / "ragged_lines.fasta")


def test_an_index_with_lines_of_no_length_is_refused(shared_data: Path) -> None:
    data = (shared_data / "genomics" / "edge" / "zero_linewidth_fai.fa.fai").read_bytes()
    with pytest.raises(FormatError, match=r"line 1 of the \.fai states 0 bases in 0 bytes a line"):
        parse_fai(data)


@pytest.mark.parametrize("line", [b"a\t1\t2\t3", b"a\t1\t2\t3\t-4", b"a\t1\t2\t3\tx", b"\n\nb", b"a\t5\t0\t4\t4"])
def test_malformed_indexes_are_errors(line: bytes) -> None:
    with pytest.raises(FormatError, match=r"of the \.fai"):
        parse_fai(line)


@st.composite
def _fasta(draw: st.DrawFn) -> bytes:
    end = draw(st.sampled_from([b"\n", b"\n", b"\r\n"]))
    text = b""
    for number in range(draw(st.integers(1, 4))):
        title = draw(st.sampled_from([b"", b" some words", b"\tmore"]))
        text += b">s%d%b" % (number, title) + end
        bases = draw(st.binary(min_size=1, max_size=14)).translate(bytes(b"ACGTNacgtn-*"[n % 12] for n in range(256)))
        width = draw(st.sampled_from([3, 5]))
        for at in range(0, len(bases), width):
            text += bases[at : at + width] + end
        text += draw(st.sampled_from([b"", b"", b"\n", b"\n\n"]))
    if draw(st.booleans()):
        text = text.rstrip(b"\r\n")
    if draw(st.booleans()):
        at = draw(st.integers(0, len(text) - 1))
        text = (
            text[:at] + draw(st.sampled_from([b"", b"\n", b"A", b">", b"\r\n"])) + text[at + draw(st.integers(0, 1)) :]
        )
    return text


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=_fasta(), cuts=st.lists(st.integers(0, 80), max_size=4))
@example(data=b">a\n\r\nA", cuts=[])
def test_made_files_agree_with_htslib_however_they_are_handed_over(
    tmp_path: Path, data: bytes, cuts: list[int]
) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[start:stop] for start, stop in pairwise(edges)]
    try:
        ours: list[FaiRecord] | None = build_fai(pieces)
    except FormatError:
        ours = None
    theirs = _by_htslib(data, tmp_path / "made.fa")
    if ours is not None and theirs is not None:
        names = [record.name for record in ours]
        if len(set(names)) == data.count(b">"):
            assert same_places(ours, theirs)
    elif ours is None and theirs is not None:
        # htslib takes blanks and control characters between bases, and then gives wrong bases.
        assert any(set(line) & set(b" \t\r") for line in data.split(b"\n") if not line.startswith(b">"))
    elif ours is not None:
        # Sequences without bases, and titles without sequence at the end, are no error for us.
        assert any(not record.length for record in ours) or data.count(b">") > len(ours)


def test_blanks_between_bases_are_refused_where_htslib_gives_wrong_bases(tmp_path: Path) -> None:
    data = b">a\nACG T\nACGTA\nAC\n"
    theirs = _by_htslib(data, tmp_path / "blank.fa")
    assert theirs is not None
    with pysam.FastaFile(str(tmp_path / "blank.fa")) as file:
        assert file.fetch("a") != "ACGTACGTAAC"
    with pytest.raises(FormatError, match="'a' has a blank between bases at byte 3"):
        build_fai([data])
    for cut in range(1, len(data)):
        with pytest.raises(FormatError, match="blank"):
            build_fai([data[:cut], data[cut:]])


def test_sequences_without_bases_and_names_that_come_twice() -> None:
    records = build_fai([b"\n>none\n>a b\nAC\n>a\nGGG\n> c\nTT\n\n>last"])
    assert [(record.name, record.length) for record in records] == [("none", 0), ("a", 2), ("c", 2), ("last", 0)]


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"ACGT\n", b"; comment\n>a\nAC\n", b">a\n\nACGT\n", b">" + b"x" * (2 << 20)]
)
def test_what_is_no_fasta_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        build_fai([data[at : at + 4096] for at in range(0, len(data), 4096)])


def test_one_line_of_many_pieces_is_one_line() -> None:
    pieces = [b">a\n", *[b"ACGT" * 1000] * 50, b"\n>b\nAC\n"]
    assert build_fai(pieces)[0] == FaiRecord("a", 200_000, 3, 200_000, 200_001)
