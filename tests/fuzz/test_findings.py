"""What fuzzing has found once, as small as it can be."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from lake.catalog.statements import check_query
from lake.errors import BadQuery, FormatError, InvalidInput
from lake.formats.compression.inflated import Piece
from lake.formats.reader import BytesReader
from lake.formats.sequences.fastq_records import read_fastq
from lake.formats.spectra.mzxml_scans import scan_mzxml
from lake.formats.spectra.scanner import MzmlScanner
from lake.formats.spectra.strict import scan_strictly
from lake.htsget.errors import Problem
from lake.htsget.oidc import _public_keys
from lake.htsget.routes.tus import _metadata
from lake.manifest import read_manifest
from tests.formats.spectra.mzml_maker import made_mzml, made_spectrum
from tests.fuzz.bounds import bounded


@pytest.mark.parametrize("encoding", ["ISO-18446744073709551616-1", "shift_jis", "utf-7"])
def test_encodings_that_expat_does_not_know(encoding: str) -> None:
    head = b'<?xml version="1.0" encoding="%b"?>' % encoding.encode()
    with pytest.raises(FormatError):
        scan_mzxml(BytesReader(head + b"<mzXML><msRun/></mzXML>"))
    with pytest.raises(FormatError):
        scan_strictly([head + b"<mzML><run/></mzML>"])


def test_a_reference_that_the_encoding_does_not_have() -> None:
    spectrum = made_spectrum(0, "scan=1", 1.0).replace(
        "<scanList", '<referenceableParamGroupRef ref="&#x20ac;"/><scanList'
    )
    prolog = '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
    assert len(scan_strictly([made_mzml([spectrum], prolog=prolog)]).spectra) == 1


def test_an_upload_described_in_other_letters() -> None:
    with pytest.raises(Problem, match="UTF-8 in base64"):
        _metadata("path \xfc")


@pytest.mark.parametrize("query", ["SELECT '\udcff'", "\ud800"])
def test_a_query_that_is_no_text(query: str) -> None:
    with duckdb.connect() as connection, pytest.raises(BadQuery, match="UTF-8"):
        check_query(connection, query)


def test_sets_of_keys_that_are_none() -> None:
    with pytest.raises(ValueError, match="no set of keys"):
        _public_keys(b'{"keys":' + b"[" * 100_000)
    assert _public_keys(b'{"keys":[{"kty":"RSA","kid":[],"n":"AQAB","e":"AQAB"},{"kty":"RSA","n":5,"e":[]}]}') == {}


def test_a_manifest_with_a_nul(tmp_path: Path) -> None:
    path = tmp_path / "sums"
    path.write_bytes(b"0" * 32 + b"  a\0b\n")
    with pytest.raises(InvalidInput, match="line 1 holds a NUL"):
        read_manifest(path)


def test_a_tag_of_blanks_is_not_tried_in_every_length() -> None:
    """The pattern of a tag went back over the whole of it for each letter of its name."""
    scanner = MzmlScanner()
    with bounded(5.0):
        scanner.update(b"<" + b"a" * 20_000 + b" " * 200_000)
    with pytest.raises(FormatError):
        scanner.finish()


def test_a_read_without_an_end_is_copied_a_few_times_only() -> None:
    """It was copied with every block, which took minutes for a file of a few hundred kilobytes."""
    pieces = (Piece.at(b"@a\n" if not n else b"A" * 16_384, n) for n in range(3000))
    with bounded(5.0), pytest.raises(FormatError, match=re.escape("ends")):
        list(read_fastq(pieces))


def test_a_tag_without_an_end_is_searched_a_few_times_only() -> None:
    scanner = MzmlScanner()
    with bounded(10.0):
        scanner.update(b'<?xml version="1.0"?><mzML><run id="')
        for _ in range(2400):
            scanner.update(b"A" * 16_384)
        with pytest.raises(FormatError):
            scanner.finish()
