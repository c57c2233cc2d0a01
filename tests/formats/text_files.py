"""What tests of files of lines and of BCF share: ways to open a file, and what a slice holds."""

from __future__ import annotations

import gzip
from pathlib import Path

from lake.formats.intervals.blocked_format import BlockedFormat
from lake.formats.intervals.record_file import RecordFile
from lake.formats.reader import ByteReader
from lake.formats.registry import region_format
from tests.formats.bam_maker import EOF, bytes_of

__all__ = ["blocked_format", "content", "expected_regions", "records", "ways"]


def blocked_format(name: str) -> BlockedFormat:
    """The format of that name, as the registry has it."""
    form = region_format(name)
    assert isinstance(form, BlockedFormat)
    return form


def ways(form: BlockedFormat, reader: ByteReader, index: bytes | None = None) -> dict[str, RecordFile]:
    """The file with and without a table; ``index`` is a TBI or CSI that says which columns count."""
    table = form.build_table(reader, index)
    return {
        "table": form.open(reader, kind=form.table_kind, index=table, table=table),
        "scan": form.open(reader, kind=None, index=index, table=None),
    }


def content(reader: ByteReader, file: RecordFile, regions: list[str]) -> bytes:
    """The inflated bytes of a slice; one in BGZF must end with the marker."""
    data = bytes_of(reader, file.plan(regions))
    if reader.read(0, 2) != b"\x1f\x8b":
        return data
    assert data.endswith(EOF)
    return gzip.decompress(data)


def records(text: bytes, comment: bytes = b"#") -> list[bytes]:
    """Lines that are records, without their ends."""
    lines = [line.rstrip(b"\r") for line in text.split(b"\n")]
    return [line for line in lines if line and not line.startswith(comment)]


def expected_regions(folder: Path, prefix: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Regions of EXPECTED.tsv by file: number of records and md5 of their text."""
    expected: dict[str, dict[str, str]] = {}
    for line in (folder / "EXPECTED.tsv").read_text().splitlines():
        name, what, *value = line.split("\t")
        if what.startswith("region ") and name.endswith(prefix):
            expected.setdefault(name, {})[what.removeprefix("region ")] = value[0]
    return expected
