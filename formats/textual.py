"""Which textual format bytes are: told by content; the name's suffix decides only between weak candidates."""

from __future__ import annotations

import codecs
import re

__all__ = ["TEXTUAL", "as_text", "text_format"]

TEXTUAL = frozenset(
    {
        "BED",
        "CRAI",
        "CSV",
        "FAI",
        "FASTA",
        "FASTQ",
        "GFF3",
        "GTF",
        "HTML",
        "JSON",
        "MGF",
        "SAM",
        "TSV",
        "VCF",
        "XML",
        "imzML",
        "mzML",
        "mzXML",
        "text",
    }
)
"""Names of formats whose content is text."""

_SAMPLE = 4096
"""Bytes looked at to tell text from binary."""
_LOOK = 1 << 14
"""Bytes looked at to tell one textual format from another."""
_LINES = 24
"""Lines looked at for columns."""

_FASTA = (".fa", ".fasta", ".fna", ".ffn", ".faa", ".frn")
_FASTQ = (".fq", ".fastq")

_NOT_CONTROL = bytes(sorted({*range(32, 256), *b"\b\t\n\v\f\r\x1b"} - {127}))
_ASCII = bytes(range(128))

_JSON = re.compile(rb'\{\s*["}]|\[\s*(?:["{]|\]\s*$|-?\d+(?:\.\d+)?\s*,|\[\s*[-"\d\[{])')
_ROOT = re.compile(rb"<(?:[\w.-]{1,64}:)?([A-Za-z_][\w.-]{0,64})")
_SAM_HEADER = re.compile(rb"@(?:HD|SQ|RG|PG)\t[A-Za-z][A-Za-z0-9]:|@CO\t")
# SAM, section 1.4: name, flag, contig, position, mapping quality, CIGAR, mate's contig, mate's position, length.
_SAM_RECORD = re.compile(
    rb"[!-?A-~]{1,254}\t\d{1,5}\t[!-~]+\t\d+\t\d{1,3}\t(?:\*|(?:\d+[MIDNSHPX=])+)\t[!-~]+\t\d+\t-?\d+\t",
)
_SEQUENCE = re.compile(rb"[A-Za-z*.\-~]*[ \t]*")
# GFF3 specification and GTF 2.2: sequence, source, type, start, end, score, strand, phase, attributes.
_FEATURE = re.compile(rb"[^\t]+\t[^\t]*\t[^\t]+\t\d+\t\d+\t[^\t]+\t[-+.?]\t[012.]\t(.*)", re.DOTALL)
_GTF_ATTRIBUTES = re.compile(rb'\s*[A-Za-z_]\w* +(?:"|[^\s=;]+;)')
_INTERVAL = re.compile(rb"[^\t]+\t(\d{1,18})\t(\d{1,18})(?:\t|$)")
# faidx(5): name, length, offset, bases a line, bytes a line; FASTQ adds the offset of the qualities.
_FAI = re.compile(rb"[^\t]*(?:\t\d+){4,5}")
# CRAM index specification: contig, start, span, container offset, slice offset, slice size.
_CRAI = re.compile(rb"-?\d+(?:\t-?\d+){5}")


def as_text(head: bytes) -> bytes | None:
    """The head as text without a byte-order mark (UTF-16 as UTF-8), or None when it is binary."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        decoded = head[: _LOOK & ~1].decode("utf-16", "replace")
        return None if "\0" in decoded or "\ufffd" in decoded[:-1] else decoded.encode("utf-8", "replace")
    sample = head[:_SAMPLE]
    if sample.translate(None, _NOT_CONTROL):
        return None
    if not sample.isascii() and not _mostly_readable(sample):
        return None
    return head.removeprefix(codecs.BOM_UTF8)


def _mostly_readable(sample: bytes) -> bool:
    """UTF-8, cut anywhere; or an eight-bit encoding of a mostly ASCII text."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return len(sample.translate(None, _ASCII)) * 10 < len(sample) * 3
    return True


def text_format(text: bytes, suffix: str, *, whole: bool) -> str:
    """Name of the format of a text.

    Args:
        text: the first bytes of the content, as `as_text` gives them.
        suffix: the name's suffix without that of a compression, lower case, with the dot: ``.vcf``; or empty.
        whole: the text is not cut: its last line is complete.
    """
    start = text[:_LOOK].lstrip()
    first = start[:1]
    if start.startswith((b"##fileformat=VCF", b"#CHROM\tPOS\tID\tREF\tALT")):
        return "VCF"
    if first == b"<" and (markup := _markup(start)) is not None:
        return markup
    if first in b"{[" and (_JSON.match(start) or (first and suffix in (".json", ".jsonl", ".geojson", ".ipynb"))):
        return "JSON"
    lines = _lines(text, whole=whole)
    if first == b"@" and _SAM_HEADER.match(start):
        return "SAM"
    if first == b"@" and (suffix in _FASTQ or _looks_like_fastq(start, whole=whole)):
        return "FASTQ"
    if first == b">" and (suffix in _FASTA or _looks_like_fasta(lines)):
        return "FASTA"
    if start.startswith(b"BEGIN IONS") or b"\nBEGIN IONS" in start:
        return "MGF"
    return _columns(start, lines, suffix)


def _lines(text: bytes, *, whole: bool) -> list[bytes]:
    """The first complete, non-empty lines; the cut one only when there is no other."""
    lines = text[:_LOOK].split(b"\n", _LINES)
    last = lines.pop() if not whole or len(text) > _LOOK or len(lines) > _LINES else b""
    complete = [stripped for line in lines if (stripped := line.rstrip(b"\r"))]
    return complete or [last]


def _markup(text: bytes) -> str | None:
    """The format by the name of the root element; None where there is no element and no XML declaration."""
    position = 0
    while 0 <= position < len(text):
        if text.startswith(b"<!--", position):
            position = text.find(b"-->", position)
        elif text[position + 1 : position + 2] in (b"?", b"!"):
            if text[position : position + 14].lower() == b"<!doctype html":
                return "HTML"
            position = text.find(b">", position)
        else:
            return _root_format(text, position)
        if position >= 0:
            position = text.find(b"<", position)
    return "XML" if text.startswith((b"<?xml", b"<!DOCTYPE")) else None


def _root_format(text: bytes, position: int) -> str | None:
    match = _ROOT.match(text, position)
    if match is None:
        return None
    root = match[1].lower()
    if root in (b"mzml", b"indexedmzml"):
        # imzML 1.1.0 is mzML that cites the imaging vocabulary in its cvList.
        return "imzML" if b'"IMS"' in text or b"'IMS'" in text else "mzML"
    return {b"mzxml": "mzXML", b"msrun": "mzXML", b"html": "HTML"}.get(root, "XML")


def _looks_like_fastq(text: bytes, *, whole: bool) -> bool:
    """Residues after the title, up to a line with a plus sign; a long read may be cut before it."""
    lines = text.split(b"\n", _LINES)[1:_LINES]
    for line in lines:
        if line.startswith(b"+"):
            return True
        if not _SEQUENCE.fullmatch(line.rstrip(b"\r")):
            return False
    return not whole and bool(lines)


def _looks_like_fasta(lines: list[bytes]) -> bool:
    residues = [line for line in lines if not line.startswith(b">")]
    return bool(residues) and all(_SEQUENCE.fullmatch(line) for line in residues[:4])


def _columns(text: bytes, lines: list[bytes], suffix: str) -> str:
    """Formats of lines with columns."""
    rows = [line for line in lines if not line.startswith((b"#", b"track ", b"browser "))]
    if text.startswith(b"##gff-version"):
        return "GTF" if suffix == ".gtf" or _features(rows, suffix) == "GTF" else "GFF3"
    if (feature := _features(rows, suffix)) is not None:
        return feature
    if rows and _SAM_RECORD.match(rows[0]):
        return "SAM"
    if suffix == ".fai" and _all(_FAI, rows):
        return "FAI"
    if suffix == ".crai" and _all(_CRAI, rows):
        return "CRAI"
    if _is_bed(rows, suffix):
        return "BED"
    return _table(lines, suffix)


def _all(pattern: re.Pattern[bytes], rows: list[bytes]) -> bool:
    return bool(rows) and all(pattern.fullmatch(row) for row in rows)


def _features(rows: list[bytes], suffix: str) -> str | None:
    match = _FEATURE.match(rows[0]) if rows else None
    if match is not None:
        return "GTF" if suffix == ".gtf" or _GTF_ATTRIBUTES.match(match[1]) else "GFF3"
    if not rows and suffix in (".gff", ".gff3", ".gtf"):
        return "GTF" if suffix == ".gtf" else "GFF3"
    return None


def _is_bed(rows: list[bytes], suffix: str) -> bool:
    """Three columns or more, 0-based start not after the end (BED 1.0, section 1.5). ``.bed`` may have a title row."""
    if suffix in (".tsv", ".tab", ".txt", ".csv", ".fai", ".crai"):
        return False
    if suffix == ".bed":
        if not rows:
            return True
        if len(rows) > 1 and not _INTERVAL.match(rows[0]):
            rows = rows[1:]
    elif _all(_CRAI, rows):
        return False
    matches = [_INTERVAL.match(row) for row in rows]
    return bool(matches) and all(match is not None and int(match[1]) <= int(match[2]) for match in matches)


def _table(lines: list[bytes], suffix: str) -> str:
    if suffix in (".csv", ".tsv"):
        return suffix[1:].upper()
    if len(lines) < 2:
        return "text"
    tabs = lines[0].count(b"\t")
    if tabs and all(line.count(b"\t") == tabs for line in lines):
        return "TSV"
    commas = lines[0].count(b",")
    if commas and all(line.count(b",") == commas and b", " not in line for line in lines):
        return "CSV"
    return "text"
