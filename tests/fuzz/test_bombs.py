"""Small input that would become large: refused, or worked off in bounded memory."""

from __future__ import annotations

import bz2
import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from lake.crates import read_crate
from lake.errors import FormatError, LakeError
from lake.formats.intervals.binning import parse_index
from lake.formats.reader import BytesReader
from lake.formats.sniffing import HEAD, detect
from lake.formats.spectra.arrays import Compression, decode_bytes
from lake.formats.spectra.mzxml_scans import scan_mzxml
from lake.formats.spectra.scanner import MzmlScanner
from lake.formats.spectra.strict import scan_strictly
from lake.sheet_files import read_sheet
from tests.formats.bam_maker import EOF, block
from tests.fuzz import seeds
from tests.fuzz.bounds import bounded
from tests.fuzz.files import check_file

_MB = 1 << 20
_BIG = 100 * _MB
_LETTERS = b"A" * 65_000


def _repeated(head: bytes, unit: bytes = _LETTERS, size: int = _BIG) -> bytes:
    """BGZF of ``head`` and far more of ``unit``, a thousandth of its size."""
    return block(head) + block(unit) * (size // len(unit)) + EOF


def _bam(*numbers: int, text: bytes = b"") -> bytes:
    return b"BAM\1" + struct.pack(f"<{len(numbers)}i", *numbers) + text


_HEAD = seeds._VCF_HEAD.encode()
_BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a BAM header of 2 GB": ("BAM", lambda: _repeated(_bam(2**31 - 1))),
    "a BAM of 2^31-1 contigs": ("BAM", lambda: block(_bam(0, 2**31 - 1)) + EOF),
    "a BAM record of 2 GB": ("BAM", lambda: _repeated(_bam(0, 1, 2, text=b"a\0" + struct.pack("<2i", 99, 2**31 - 1)))),
    "a BCF header of 4 GB": ("BCF", lambda: _repeated(b"BCF\2\2" + struct.pack("<I", 2**32 - 1))),
    "a FASTA header without an end": ("FASTA", lambda: _repeated(b">")),
    "a FASTA of one line": ("FASTA", lambda: gzip.compress(b">a\n" + b"A" * _BIG, 1)),
    "gzip of zeros": ("gzip", lambda: gzip.compress(bytes(_BIG), 1)),
    "bzip2 of blanks": ("mzML", lambda: bz2.compress(seeds.made("mzML")[0][:600] + b" " * (20 * _MB))),
    "brackets": ("JSON", lambda: b"[" * (2 * _MB)),
    "objects": ("JSON", lambda: b'{"a":' * (2 * _MB)),
    "elements in elements": ("mzML", lambda: seeds.made("mzML")[0][:600] + b"<a>" * (2 * _MB)),
    "attributes": ("mzML", lambda: seeds.made("mzML")[0][:600] + b"<a " + b'b="" ' * _MB + b"/>"),
}


@pytest.mark.parametrize("name", _BOMBS)
def test_bombs_are_worked_off_in_bounds(name: str, tmp_path: Path) -> None:
    form, make = _BOMBS[name]
    data = make()
    with bounded(30.0):
        check_file(form, data, tmp_path)


def test_a_line_longer_than_any_is_refused() -> None:
    from lake.formats.variants.vcf import VCF

    reader = BytesReader(_repeated(_HEAD + b"chr1\t5\t.\tA\tC\t9\t.\t", size=140 * _MB))
    with bounded(20.0), pytest.raises(FormatError, match="64 MiB"):
        VCF.open(reader, kind=None, index=None, table=None).plan(["chr1:1-9"])


@pytest.mark.parametrize("scheme", list(Compression))
@pytest.mark.parametrize("length", [3, 1 << 40, -1])
def test_arrays_never_become_larger_than_declared(scheme: Compression, length: int) -> None:
    data = zlib.compress(bytes(_BIG // 2), 1)
    with bounded(5.0, 64 * _MB), pytest.raises(LakeError):
        decode_bytes(data, 1000523, scheme, length)


@pytest.mark.parametrize("kind", ["bai", "csi"])
@pytest.mark.parametrize("number", [2**31 - 1, -1])
def test_indexes_that_state_more_than_they_hold(kind: str, number: int) -> None:
    head = b"BAI\1" if kind == "bai" else b"CSI\1" + struct.pack("<3i", 14, 5, 0)
    for body in (struct.pack("<i", number), struct.pack("<2i", 1, number), struct.pack("<5i", 1, 1, 0, 0, number)):
        with bounded(2.0, 64 * _MB), pytest.raises(FormatError):
            parse_index(kind, head + body)
    for depth in (number, 2**30):
        with bounded(2.0, 64 * _MB), pytest.raises(FormatError):
            parse_index("csi", b"CSI\1" + struct.pack("<4i", 14, depth, 0, 1))


def test_what_a_file_is_told_by_its_head_alone() -> None:
    data = gzip.compress(bytes(_BIG), 1)
    with bounded(1.0, 32 * _MB):
        assert detect(data[:HEAD], "a.gz", size=len(data)).container == "gzip"


@pytest.mark.parametrize("text", ['{"@graph": ' + "[" * _MB, '{"@graph": [' + '{"a":' * _MB])
def test_documents_nested_too_deep(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with bounded(), pytest.raises(LakeError):
        read_crate(path)
    lines = path.rename(tmp_path / "x.jsonl")
    with bounded(), pytest.raises(LakeError):
        read_sheet(lines)


_LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha">' + b"".join(
    b'<!ENTITY %c "%b">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(12)
)
_OUTSIDE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">'


@pytest.mark.parametrize("types", [_LAUGHS + b"]>", _OUTSIDE + b"]>", b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x">'])
@pytest.mark.parametrize("root", [b"mzML", b"mzXML"])
def test_no_declared_type_no_entity(types: bytes, root: bytes) -> None:
    """Wherever XML is read, a declaration of a type is refused before anything that it declares is used."""
    text = b'<?xml version="1.0"?>' + types + b'<%b><run id="&m;"></run></%b>' % (root, root)
    with bounded(2.0, 64 * _MB):
        with pytest.raises(FormatError):
            scan_mzxml(BytesReader(text))
        with pytest.raises(FormatError, match="type declaration"):
            scan_strictly([text])
        scanner = MzmlScanner()
        scanner.update(text)
        with pytest.raises(FormatError, match="type declaration"):
            scanner.finish()
