"""Detection of formats: every real file, hand-made heads, and hostile bytes."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.formats.sniffing import HEAD, Detected, detect, media_type, suffix_problem

BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""SAM specification, section 4.1.2."""


def bgzf(data: bytes) -> bytes:
    """One BGZF block, without an end marker (SAM specification, section 4.1)."""
    member = gzip.compress(data, mtime=0)
    body, trailer = member[10:-8], member[-8:]
    size = 18 + len(body) + 8
    head = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, size - 1)
    return head + body + trailer


# -- real files -------------------------------------------------------------------------------------------------------

BY_SUFFIX: dict[str, Detected] = {
    ".bai": Detected("BAI", None),
    ".bam": Detected("BAM", "bgzf"),
    ".bcf": Detected("BCF", "bgzf"),
    ".bed.gz": Detected("BED", "bgzf"),
    ".crai": Detected("CRAI", "gzip"),
    ".cram": Detected("CRAM", None),
    ".csi": Detected("CSI", "bgzf"),
    ".fa": Detected("FASTA", None),
    ".fa.gz": Detected("FASTA", "bgzf"),
    ".fai": Detected("FAI", None),
    ".fasta": Detected("FASTA", None),
    ".fasta.gz": Detected("FASTA", "bgzf"),
    ".fastq": Detected("FASTQ", None),
    ".fastq.bgz": Detected("FASTQ", "bgzf"),
    ".fastq.gz": Detected("FASTQ", "bgzf"),
    ".fq": Detected("FASTQ", None),
    ".gff.gz": Detected("GFF3", "bgzf"),
    ".gff3.gz": Detected("GFF3", "bgzf"),
    ".gtf.gz": Detected("GTF", "bgzf"),
    ".gzi": Detected("GZI", None),
    ".h5": Detected("HDF5", None),
    ".h5ad": Detected("h5ad", None),
    ".hdf5": Detected("HDF5", None),
    ".ibd": Detected("ibd", None),
    ".idx.gz": Detected("mzML", "gzip"),
    ".imzml": Detected("imzML", None),
    ".md": Detected("text", None),
    ".mgf": Detected("MGF", None),
    ".mzml": Detected("mzML", None),
    ".mzml.bz2": Detected("mzML", "bzip2"),
    ".mzml.gz": Detected("mzML", "gzip"),
    ".mzmlb": Detected("mzMLb", None),
    ".nc": Detected("netCDF", None),
    ".sam": Detected("SAM", None),
    ".sam.gz": Detected("SAM", "bgzf"),
    ".tbi": Detected("TBI", "bgzf"),
    ".tsv": Detected("TSV", None),
    ".vcf": Detected("VCF", None),
    ".vcf.gz": Detected("VCF", "bgzf"),
}
EXCEPTIONS: dict[str, Detected] = {
    "bad_header.bam": Detected("gzip", "gzip"),  # the extra field is not BGZF's
    "chip_50k.bed.gz": Detected("TSV", "bgzf"),  # one position a line: no BED
    "malformed.bcf": Detected("binary", None),  # mangled by a conversion to UTF-8
    "malformed_magic.bam": Detected("binary", None),
    "mangled.vcf.gz": Detected("binary", None),  # a byte before the magic
    "mangled.vcf.gz.tbi": Detected("binary", None),
    "multimember_pigz.fastq.gz": Detected("FASTQ", "gzip"),
    "plain_gzip_not_bgzf.vcf.gz": Detected("VCF", "gzip"),
    "rhodobacter_5k.fastq.gz": Detected("FASTQ", "gzip"),
    "toofew_fields.gtf.gz": Detected("text", "bgzf"),  # separated by spaces
}
PROBLEMS = {
    "bad_header.bam",
    "chip_50k.bed.gz",
    "malformed.bcf",
    "malformed_magic.bam",
    "mangled.vcf.gz",
    "mangled.vcf.gz.tbi",
    "plain_gzip_not_bgzf.vcf.gz",
    "toofew_fields.gtf.gz",
}
NAME_DECIDES = {"FAI", "CRAI", "GZI", "h5ad", "ibd", "mzMLb"}


def expected(path: Path) -> Detected:
    if path.name in EXCEPTIONS:
        return EXCEPTIONS[path.name]
    name = path.name.lower()
    return next(BY_SUFFIX[name[i:]] for i in range(len(name)) if name[i:] in BY_SUFFIX)


def real_files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) >= 300
    return files


def head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def test_every_real_file_is_named(shared_data: Path) -> None:
    found = {p: detect(head_of(p), str(p), size=p.stat().st_size) for p in real_files(shared_data)}
    assert found == {p: expected(p) for p in found}


def test_content_goes_before_the_name(shared_data: Path) -> None:
    """Under a name that lies, real files are still what they are, but for formats that only a name can tell."""
    weak = NAME_DECIDES | {"text", "TSV"}
    for path in real_files(shared_data):
        right = expected(path)
        if right.name not in weak and path.stat().st_size > 28:
            skipped_title = path.name in ("gcnv_wide.bed.gz", "skiplines_header.bed.gz")
            assert skipped_title or detect(head_of(path), "x.unheard", size=path.stat().st_size) == right, path


def test_real_names_complain_only_where_they_lie(shared_data: Path) -> None:
    complaints = {p.name for p in real_files(shared_data) if suffix_problem(p.name, expected(p)) is not None}
    assert complaints == PROBLEMS


# -- hand-made heads --------------------------------------------------------------------------------------------------

FEATURE = b"chr1\tsrc\texon\t1\t9\t.\t+\t.\t"


@pytest.mark.parametrize(
    ("head", "name", "found"),
    [
        (b"", "x.bam", Detected("empty", None)),
        (b"\n\n", "x", Detected("text", None)),
        (b"chr1\t0\t5\nchr1\t7\t9\n", "x", Detected("BED", None)),
        (b"chr1\t0\t5\nchr1\t7\t9\n", "x.tsv", Detected("TSV", None)),
        (b"chr1\t10\t5\nchr1\t7\t9\n", "x", Detected("TSV", None)),
        (b"track name=x\nchr1\t0\t5\n", "x", Detected("BED", None)),
        (b"# nothing\n", "x.bed", Detected("BED", None)),
        (FEATURE + b"ID=e1\n", "x", Detected("GFF3", None)),
        (FEATURE + b'gene_id "g"; x "y";\n', "x", Detected("GTF", None)),
        (b"##gff-version 3\n", "x", Detected("GFF3", None)),
        (b"r1\t0\tchr1\t1\t60\t4M\t*\t0\t0\tACGT\tIIII\n", "x", Detected("SAM", None)),
        (b"@HD\tVN:1.6\n", "x", Detected("SAM", None)),
        (b"@r1\nACGT\n+\nIIII\n", "x", Detected("FASTQ", None)),
        (b"@r1\n" + b"ACGT" * HEAD, "x", Detected("FASTQ", None)),
        (b"@decorator\nname\n", "x.py", Detected("text", None)),
        (b">chr1 a title\nACGTN\n", "x", Detected("FASTA", None)),
        (b"> quoted mail\n> goes on\n", "x", Detected("text", None)),
        (b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n", "x", Detected("VCF", None)),
        (b"COM=a search\n\nBEGIN IONS\n", "x", Detected("MGF", None)),
        (b'<?xml version="1.0"?>\n<!-- <html> --><mzXML>', "x", Detected("mzXML", None)),
        (b'<?xml version="1.0"?>\n<p:gpx xmlns:p="u"/>', "x", Detected("XML", None)),
        (b"\xef\xbb\xbf<mzML>", "x", Detected("mzML", None)),
        (b"<!DOCTYPE html>\n<p>", "x", Detected("HTML", None)),
        (b"<3 is a heart\n", "x", Detected("text", None)),
        (json.dumps({"a": 1}).encode(), "x", Detected("JSON", None)),
        (b"[1, 2]", "x", Detected("JSON", None)),
        (b"[section]\nkey = 1\n", "x.ini", Detected("text", None)),
        (b"[2026-11-20] started\n", "x.log", Detected("text", None)),
        (b"a,b\n1,2\n", "x", Detected("CSV", None)),
        (b"a;b\n", "x.csv", Detected("CSV", None)),
        (b"Well, yes.\nThen, no.\n", "x", Detected("text", None)),
        ("name\tvalue\nα\t1\n".encode("utf-16"), "x", Detected("TSV", None)),
        ("Größe der Probe\n".encode("latin-1"), "x", Detected("text", None)),
        (b"CDF\x01\0\0\0\0", "x", Detected("netCDF", None)),
        (bytes(512) + b"\x89HDF\r\n\x1a\n" + bytes(9), "x", Detected("HDF5", None)),
        (bytes(500) + b"\x89HDF\r\n\x1a\n" + bytes(9), "x", Detected("binary", None)),
        (b"PAR1\x15\x04", "x", Detected("Parquet", None)),
        (b"PARENT\tCHILD\na\tb\n", "x", Detected("TSV", None)),
        (b"CRAMPED\n", "x", Detected("text", None)),
        (b"\x26\xfc\x8f\x88\x04\0", "x", Detected("BigWig", None)),
        (b"\x87\x89\xf2\xeb\0\x04", "x", Detected("BigBed", None)),
        (b"SQLite format 3\0", "x", Detected("SQLite", None)),
        (b"\xff" * 8 + b"DUCK", "x", Detected("DuckDB", None)),
        (bytes(8), "x.gzi", Detected("GZI", None)),
        (struct.pack("<5Q", 2, 10, 20, 5, 40), "x.gzi", Detected("binary", None)),
        (b"\x01" + bytes(6), "x.gzi", Detected("binary", None)),
        (BGZF_EOF, "x", Detected("empty", "bgzf")),
        (BGZF_EOF, "x.gff.gz", Detected("GFF3", "bgzf")),
        (BGZF_EOF + bgzf(b"BAM\1\0\0\0\0"), "x", Detected("BAM", "bgzf")),
        (gzip.compress(b"a,b\n1,2\n", mtime=0) * 3, "x", Detected("CSV", "gzip")),
        (gzip.compress(b"\0\1\2\3", mtime=0), "x", Detected("gzip", "gzip")),
        (bz2.compress(b"@HD\tVN:1.6\n"), "x", Detected("SAM", "bzip2")),
        (bz2.compress(b"@HD\tVN:1.6\n")[:20], "x", Detected("bzip2", "bzip2")),
        (lzma.compress(b"x"), "x", Detected("xz", "xz")),
        (b"\x28\xb5\x2f\xfd\0", "x", Detected("zstd", "zstd")),
    ],
)
def test_hand_made_heads(head: bytes, name: str, found: Detected) -> None:
    assert detect(head, name) == found


def test_damaged_blocks_still_have_a_name() -> None:
    block = bytearray(bgzf(b"BAM\1" + random.Random(1).randbytes(500)))
    block[-5] ^= 0xFF  # the checksum
    assert detect(bytes(block)) == Detected("BAM", "bgzf")
    assert detect(bytes(block[:100]), size=len(block)) == Detected("BAM", "bgzf")


def test_zip() -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", "b")
    assert detect(buffer.getvalue()) == Detected("ZIP", "zip")


def test_a_gzi_must_fill_its_file() -> None:
    index = struct.pack("<3Q", 1, 10, 20)
    assert detect(index, "x.gzi", size=len(index)).name == "GZI"
    assert detect(index, "x.gzi", size=len(index) + 8).name == "binary"


def test_a_last_line_that_is_cut_does_not_count() -> None:
    lines = b"chr1\t5\t9\n" * 3
    assert detect(lines + b"chr1\t5", size=10**6).name == "BED"
    assert detect(lines + b"chr1\t5").name == "text"


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found", "words"),
    [
        ("a/x.bam", Detected("text", None), "named .bam but the content is text"),
        ("x.bam", Detected("BAM", "gzip"), "plain gzip, not BGZF"),
        ("x.vcf.gz", Detected("VCF", "gzip"), "plain gzip, not BGZF"),
        ("x.vcf.gz", Detected("VCF", None), "named .vcf.gz but the content is VCF"),
        ("x.vcf.gz", Detected("BED", "bgzf"), "BED compressed as bgzf"),
        ("x.vcf", Detected("VCF", "bgzf"), "named .vcf but the content is VCF compressed as bgzf"),
        ("x.bam", Detected("empty", None), "named .bam but the file is empty"),
        ("x.bed.gz", Detected("empty", None), "named .bed.gz but the file is empty"),
        ("x.gz", Detected("text", None), "named .gz but the content is text"),
        ("x.txt", Detected("binary", None), "binary of an unknown format"),
        ("x.mzML", Detected("XML", None), "named .mzml but the content is XML"),
        ("x.bam", Detected("xz", "xz"), None),
        ("x.vcf.xz", Detected("xz", "xz"), None),
        ("x.bed", Detected("empty", None), None),
        ("x.unheard", Detected("BAM", "bgzf"), None),
        ("Makefile", Detected("text", None), None),
        ("x.fastq.gz", Detected("FASTQ", "gzip"), None),
        ("x.cram.crai", Detected("CRAI", "gzip"), None),
        ("x.h5", Detected("h5ad", None), None),
        ("x.txt", Detected("BED", None), None),
        ("x.csv", Detected("text", None), None),
        ("x.zip", Detected("ZIP", "zip"), None),
    ],
)
def test_names_that_lie(name: str, found: Detected, words: str | None) -> None:
    problem = suffix_problem(name, found)
    if words is None:
        assert problem is None
    else:
        assert problem is not None
        assert words in problem


def test_media_types() -> None:
    assert media_type("mzML") == "application/xml"
    assert media_type("FAI") == "text/plain"
    assert media_type("BAI") == media_type("never heard of") == "application/octet-stream"


# -- hostile bytes ----------------------------------------------------------------------------------------------------

STARTS = [b"", b"\x1f\x8b\x08", BGZF_EOF[:18], b"BZh91AY&SY", b"@", b">", b"<", b"{", b"chr1\t1\t2", b"\xff\xfe"]
NAMES = ["", "x", "x.bed", "x.fai", "x.gzi", "x.ibd", "x.json.gz", "x.h5ad", "x.crai", "x.gtf", "x.gz", ".gz", "/"]


@settings(deadline=None, max_examples=300)
@given(
    start=st.sampled_from(STARTS),
    rest=st.binary(max_size=300) | st.text(alphabet='@>+\n\r\tacgt019.<!-"{[,;= ', max_size=300).map(str.encode),
    name=st.sampled_from(NAMES),
    size=st.none() | st.integers(0, 2**63),
)
def test_nothing_raises(start: bytes, rest: bytes, name: str, size: int | None) -> None:
    found = detect(start + rest, name, size=size)
    assert isinstance(media_type(found.name), str)
    problem = suffix_problem(name, found)
    assert problem is None or "\n" not in problem


def test_every_prefix_of_real_heads(shared_data: Path) -> None:
    for name in ("bam/volvox_bai_csi.bam", "vcf/spec43_small.vcf.gz", "edge/bad_header.bam"):
        head = head_of(shared_data / "genomics" / name)[:800]
        for length in range(len(head)):
            detect(head[:length], name, size=len(head))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, bgzf], ids=["gzip", "bzip2", "bgzf"])
def test_bombs_are_not_inflated(compress: object) -> None:
    assert callable(compress)
    bomb: bytes = compress(bytes(50 << 20)) if compress is not bgzf else bgzf(bytes(50 << 10)) * 1000
    detect(b"warm\tup\n")
    tracemalloc.start()
    try:
        assert detect(bomb[:HEAD], "bomb.gz", size=len(bomb)).name in ("gzip", "bzip2")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_many_empty_members_end() -> None:
    assert detect(BGZF_EOF * 2000, size=10**6) == Detected("gzip", "bgzf")


def test_random_bytes_are_binary() -> None:
    source = random.Random(7)
    assert {detect(source.randbytes(4096)).name for _ in range(200)} == {"binary"}


def test_detection_loads_no_heavy_module() -> None:
    code = "import sys, lake.formats.sniffing, lake.formats.registry; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pysam", "h5py", "pyarrow"} & set(loaded)


def test_a_bzip2_block_longer_than_the_head_goes_by_the_name() -> None:
    packed = bz2.compress(b"BEGIN IONS\n" + random.Random(1).randbytes(200_000).hex().encode() + b"\nEND IONS\n")
    assert len(packed) > HEAD
    assert detect(packed[:HEAD], "a.mgf.bz2", size=len(packed)) == Detected("MGF", "bzip2")
    assert detect(packed[:HEAD], "a.bin.bz2", size=len(packed)) == Detected("bzip2", "bzip2")
    assert detect(packed[:HEAD], "a.bam.bz2", size=len(packed)) == Detected("bzip2", "bzip2")
