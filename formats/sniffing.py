"""Detection of formats by content.

Names break ties only where content cannot tell: between weak textual formats, and between subtypes of HDF5 whose
evidence lies outside the head. Nothing here raises, whatever the bytes; time and memory are bounded.
"""

from __future__ import annotations

import bz2
import struct
import zlib
from typing import NamedTuple

from lake.formats.textual import TEXTUAL, as_text, text_format

__all__ = ["HEAD", "Detected", "detect", "media_type", "suffix_problem"]

HEAD = 1 << 16
"""Bytes from the start of a file that `detect` makes use of."""

_INFLATED = 1 << 14
"""Most bytes inflated to look inside a compressed file."""
_MEMBERS = 64
"""Most gzip members tried: the first ones may be empty."""


class Detected(NamedTuple):
    """What a file is."""

    name: str
    """The format of the content inside the container: ``BAM``, ``VCF``, ``mzML``, ``text``, ``binary``, ``empty``."""
    container: str | None
    """The compression around it: ``bgzf``, ``gzip``, ``bzip2``, ``zstd``, ``xz``, ``zip``; None for plain bytes."""


_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"BAM\x01", "BAM"),  # SAM specification, section 4.2
    (b"BCF\x02", "BCF"),  # BCF2, section 6.1
    (b"CRAM\x01", "CRAM"),  # CRAM, section 6: the major version follows
    (b"CRAM\x02", "CRAM"),
    (b"CRAM\x03", "CRAM"),
    (b"CRAM\x04", "CRAM"),
    (b"BAI\x01", "BAI"),  # SAM specification, section 5.2
    (b"CSI\x01", "CSI"),  # CSI version 1
    (b"TBI\x01", "TBI"),  # tabix index
    (b"\x26\xfc\x8f\x88", "BigWig"),  # Kent et al. 2010, supplementary table 5; both byte orders
    (b"\x88\x8f\xfc\x26", "BigWig"),
    (b"\xeb\xf2\x89\x87", "BigBed"),
    (b"\x87\x89\xf2\xeb", "BigBed"),
    (b"\x43\x27\x41\x1a\x00\x00\x00\x00", "2bit"),  # UCSC 2bit, version 0
    (b"\x1a\x41\x27\x43\x00\x00\x00\x00", "2bit"),
    (b"CDF\x01", "netCDF"),  # classic, 64-bit offsets, 64-bit data
    (b"CDF\x02", "netCDF"),
    (b"CDF\x05", "netCDF"),
    (b"ARROW1\0\0", "Arrow"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0\x08\0\0\0", "TIFF"),  # BigTIFF
    (b"MM\0+\0\x08\0\0", "TIFF"),
    (b"%PDF-", "PDF"),
    (b"SQLite format 3\0", "SQLite"),
)
_BY_FIRST = {first: [pair for pair in _MAGIC if pair[0][0] == first] for first in {magic[0] for magic, _ in _MAGIC}}

_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_STARTS = (0, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""The superblock lies at 0 or at 512 doubled any number of times (HDF5 file format 3.0, section II.A)."""
_COMPRESSIONS = {
    ".gz": ("gzip", "bgzf"),
    ".bgz": ("bgzf",),
    ".bgzf": ("bgzf",),
    ".bz2": ("bzip2",),
    ".zst": ("zstd",),
    ".xz": ("xz",),
}


def detect(head: bytes, name: str = "", *, size: int | None = None) -> Detected:
    """What a file is, by the first bytes of its content.

    Args:
        head: the file's first bytes; all of it, or at least 4 KiB, better `HEAD`.
        name: the file's name or path, to break ties.
        size: bytes of the whole file; without it the head is taken for the whole when it is shorter than `HEAD`.
    """
    head = head[:HEAD]
    whole = len(head) >= size if size is not None else len(head) < HEAD
    if not head:
        return Detected("empty", None)
    suffix, _ = _suffixes(name)
    container = _container(head)
    if container is None:
        return Detected(_content(head, suffix, len(head) if whole else size, whole=whole), None)
    if container == "zip":
        return Detected("ZIP", container)
    if container in ("zstd", "xz"):
        return Detected(container, container)
    inside, ended = _inflate(head, container)
    if inside:
        found = _content(inside, suffix, None, whole=ended and whole)
        if found != "binary":
            return Detected(found, container)
    elif ended and whole:
        expected = _SUFFIXES.get(suffix, ("empty",))[0]
        return Detected(expected if expected in TEXTUAL else "empty", container)
    elif container == "bzip2" and (expected := _SUFFIXES.get(suffix, ("",))[0]) in TEXTUAL:
        # The first block may be longer than the head, and none of it is known before its end.
        return Detected(expected, container)
    return Detected("bzip2" if container == "bzip2" else "gzip", container)


def _suffixes(name: str) -> tuple[str, str]:
    """The suffix of the format and that of the compression, lower case with the dot, each empty where there is none."""
    stem = name.rpartition("/")[2].lower()
    compression = next((ending for ending in _COMPRESSIONS if stem.endswith(ending)), "")
    if compression:
        stem = stem[: -len(compression)].removesuffix(".idx")
    dot = stem.rfind(".")
    return (stem[dot:] if dot >= 0 else ""), compression


def _container(head: bytes) -> str | None:
    if head.startswith(b"\x1f\x8b\x08"):
        # SAM specification, section 4.1: an extra field with the subfield BC of two bytes.
        return "bgzf" if head[3:4] == b"\x04" and head[12:16] == b"BC\x02\x00" else "gzip"
    if head.startswith(b"BZh") and head[3:4] in b"123456789" and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bzip2"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return None


def _inflate(head: bytes, container: str) -> tuple[bytes, bool]:
    """The first bytes inside, at most `_INFLATED`, and whether they are all that the head holds, well-formed."""
    if container == "bzip2":
        decompressor = bz2.BZ2Decompressor()
        try:
            data = decompressor.decompress(head, _INFLATED)
        except (OSError, ValueError):
            return b"", False
        return data, decompressor.eof and not decompressor.unused_data
    data = b""
    rest = head
    for _ in range(_MEMBERS):
        member = zlib.decompressobj(wbits=31)
        try:
            data += member.decompress(rest, _INFLATED - len(data))
        except zlib.error:
            return data + _salvage(rest, _INFLATED - len(data)), False
        rest = member.unused_data
        if not member.eof or not rest:
            return data, member.eof
        if len(data) >= _INFLATED or not rest.startswith(b"\x1f\x8b"):
            return data, False
    return data, False


def _salvage(member: bytes, limit: int) -> bytes:
    """What can be inflated before the damage, so that a damaged file still has a name."""
    decompressor = zlib.decompressobj(wbits=31)
    data = b""
    for offset in range(0, len(member), 16):
        if len(data) >= limit or decompressor.eof:
            break
        try:
            data += decompressor.decompress(member[offset : offset + 16], limit - len(data))
        except zlib.error:
            break
    return data


def _content(head: bytes, suffix: str, size: int | None, *, whole: bool) -> str:
    """Format of plain bytes."""
    for magic, name in _BY_FIRST.get(head[0], ()):
        if head.startswith(magic):
            return name
    if (start := _hdf5_start(head)) is not None:
        return _hdf5_subtype(head[start:], suffix)
    text = as_text(head)
    if text is not None:
        return text_format(text, suffix, whole=whole)
    # These magics are words: a text may begin with them.
    if head.startswith((b"PAR1", b"PARE")):
        return "Parquet"
    if head[8:12] == b"DUCK":
        return "DuckDB"
    if suffix == ".gzi" and _is_gzi(head, size):
        return "GZI"
    # imzML's second file starts with nothing but the 16 bytes of a UUID: only the name can tell.
    return "ibd" if suffix == ".ibd" and len(head) >= 16 else "binary"


def _hdf5_start(head: bytes) -> int | None:
    if _HDF5 not in head:
        return None
    return next((start for start in _HDF5_STARTS if head.startswith(_HDF5, start)), None)


def _hdf5_subtype(head: bytes, suffix: str) -> str:
    if b"_NCProperties" in head or b"_Netcdf4Dimid" in head:
        return "mzMLb" if suffix == ".mzmlb" else "netCDF"
    if b"mzMLb" in head or suffix == ".mzmlb":
        return "mzMLb"
    if suffix in (".h5ad", ".nc", ".nc4"):
        return _SUFFIXES[suffix][0]
    return "h5ad" if b"anndata" in head and b"encoding-type" in head else "HDF5"


def _is_gzi(head: bytes, size: int | None) -> bool:
    """bgzip's index: a count, then pairs of compressed and uncompressed offsets, all 64-bit little-endian."""
    if len(head) < 8:
        return False
    (count,) = struct.unpack_from("<Q", head)
    if size is not None and size != 8 + 16 * count:
        return False
    pairs = min(count, (len(head) - 8) // 16)
    offsets = struct.unpack_from(f"<{2 * pairs}Q", head, 8)
    return all(column[i] < column[i + 1] for column in (offsets[::2], offsets[1::2]) for i in range(len(column) - 1))


_ANY_TEXT = tuple(sorted(TEXTUAL - {"text"}, key=lambda name: name != "TSV"))
_SUFFIXES: dict[str, tuple[str, ...]] = {
    ".2bit": ("2bit",),
    ".arrow": ("Arrow",),
    ".bai": ("BAI",),
    ".bam": ("BAM",),
    ".bb": ("BigBed",),
    ".bcf": ("BCF",),
    ".bed": ("BED",),
    ".bigbed": ("BigBed",),
    ".bigwig": ("BigWig",),
    ".bw": ("BigWig",),
    ".crai": ("CRAI",),
    ".cram": ("CRAM",),
    ".csi": ("CSI",),
    ".csv": ("CSV", "text", *_ANY_TEXT),
    ".duckdb": ("DuckDB",),
    ".fa": ("FASTA",),
    ".faa": ("FASTA",),
    ".fai": ("FAI",),
    ".fasta": ("FASTA",),
    ".fastq": ("FASTQ",),
    ".feather": ("Arrow",),
    ".ffn": ("FASTA",),
    ".fna": ("FASTA",),
    ".fq": ("FASTQ",),
    ".frn": ("FASTA",),
    ".gff": ("GFF3", "GTF"),
    ".gff3": ("GFF3",),
    ".gtf": ("GTF",),
    ".gzi": ("GZI",),
    ".h5": ("HDF5", "h5ad", "mzMLb", "netCDF"),
    ".h5ad": ("h5ad",),
    ".hdf5": ("HDF5", "h5ad", "mzMLb", "netCDF"),
    ".htm": ("HTML", "XML"),
    ".html": ("HTML", "XML"),
    ".ibd": ("ibd",),
    ".imzml": ("imzML",),
    ".jpeg": ("JPEG",),
    ".jpg": ("JPEG",),
    ".json": ("JSON",),
    ".mgf": ("MGF",),
    ".mzml": ("mzML",),
    ".mzmlb": ("mzMLb",),
    ".mzxml": ("mzXML",),
    ".nc": ("netCDF",),
    ".nc4": ("netCDF",),
    ".parquet": ("Parquet",),
    ".pdf": ("PDF",),
    ".png": ("PNG",),
    ".sam": ("SAM",),
    ".sqlite": ("SQLite",),
    ".sqlite3": ("SQLite",),
    ".tbi": ("TBI",),
    ".tif": ("TIFF",),
    ".tiff": ("TIFF",),
    ".tsv": ("TSV", "text", *_ANY_TEXT),
    ".txt": ("text", *_ANY_TEXT),
    ".vcf": ("VCF",),
    ".xml": ("XML", "HTML", "imzML", "mzML", "mzXML"),
    ".zip": ("ZIP",),
}
"""What a suffix may hold, the usual format first."""

_OWN_CONTAINER = frozenset(("BAM", "BCF", "CRAI", "CSI", "TBI", "ZIP"))
"""Formats whose plain suffix says nothing of the compression that is part of them."""
_BLOCKED = frozenset(("BAM", "BCF", "BED", "GFF3", "GTF", "SAM", "VCF"))
"""Formats that need BGZF blocks to be indexed when they are compressed."""
_OPAQUE = frozenset(("bzip2", "xz", "zstd"))
"""Compressions that were not seen through."""


def suffix_problem(name: str, detected: Detected) -> str | None:
    """One sentence when a name's suffix contradicts the content, else None. Unknown suffixes never complain."""
    suffix, compression = _suffixes(name)
    expected = _SUFFIXES.get(suffix)
    written = (suffix if expected else "") + compression
    if detected.name == "empty" and detected.container is None:
        textual = expected is None or expected[0] in TEXTUAL
        return None if textual and not compression else f"named {written} but the file is empty"
    if compression and detected.container not in _COMPRESSIONS[compression]:
        return f"named {written} but the content is {_describe(detected)}"
    if expected is None or detected.name in _OPAQUE:
        return None
    if detected.name not in expected:
        return f"named {written} but the content is {_describe(detected)}"
    if detected.name in _BLOCKED and detected.container == "gzip":
        return f"{detected.name} compressed with plain gzip, not BGZF, cannot be indexed: recompress it with bgzip"
    if detected.container is not None and not compression and detected.name not in _OWN_CONTAINER:
        return f"named {written} but the content is {_describe(detected)}"
    return None


def _describe(detected: Detected) -> str:
    name, container = detected
    if container is None:
        return "binary of an unknown format" if name == "binary" else name
    if name.lower() == container or name == "gzip":
        return f"{container} of something unknown" if container in ("gzip", "bgzf") else container
    return f"{name} compressed as {container}"


_MEDIA_TYPES = {
    "2bit": "application/x-2bit",
    "Arrow": "application/vnd.apache.arrow.file",
    "BAM": "application/vnd.ga4gh.bam",
    "BCF": "application/vnd.ga4gh.bcf",
    "BED": "text/x-bed",
    "CRAM": "application/vnd.ga4gh.cram",
    "CSV": "text/csv",
    "DuckDB": "application/vnd.duckdb",
    "FASTA": "text/x-fasta",
    "FASTQ": "text/x-fastq",
    "GFF3": "text/x-gff3",
    "GTF": "text/x-gtf",
    "HDF5": "application/x-hdf5",
    "HTML": "text/html",
    "JPEG": "image/jpeg",
    "JSON": "application/json",
    "MGF": "text/x-mgf",
    "PDF": "application/pdf",
    "PNG": "image/png",
    "Parquet": "application/vnd.apache.parquet",
    "SAM": "text/x-sam",
    "SQLite": "application/vnd.sqlite3",
    "TIFF": "image/tiff",
    "TSV": "text/tab-separated-values",
    "VCF": "application/vnd.ga4gh.vcf",
    "XML": "application/xml",
    "ZIP": "application/zip",
    "bzip2": "application/x-bzip2",
    "gzip": "application/gzip",
    "h5ad": "application/x-hdf5",
    "imzML": "application/xml",
    "mzML": "application/xml",
    "mzMLb": "application/x-hdf5",
    "mzXML": "application/xml",
    "netCDF": "application/x-netcdf",
    "text": "text/plain",
    "xz": "application/x-xz",
    "zstd": "application/zstd",
}


def media_type(name: str) -> str:
    """Media type of a format by the name that `detect` gives; ``application/octet-stream`` where none is usual."""
    return _MEDIA_TYPES.get(name, "text/plain" if name in TEXTUAL else "application/octet-stream")
