"""Facts of headers in text: SAM (SAM specification, section 1.3) and VCF (VCF 4.3, section 1.4).

Headers are hostile: a line that is not understood is passed over, bytes that are not UTF-8 are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from lake.formats.facts.kinds import fact_table
from lake.formats.lines.header_fields import sam_lines, structured

__all__ = ["sam_facts", "variant_facts"]

_DEFINITIONS = ("INFO", "FORMAT", "FILTER", "ALT")
_FIXED_COLUMNS = 9
_MAX_LENGTH = (1 << 63) - 1


def sam_facts(text: bytes, contigs: Mapping[str, int] | None = None) -> dict[str, pa.Table]:
    """Facts of a SAM header. ``contigs`` is the binary list of a BAM, which wins where the text differs."""
    by_type: dict[str, list[dict[str, str]]] = {}
    for code, fields in sam_lines(text):
        by_type.setdefault(code, []).append(fields)
    described = {fields["SN"]: fields for fields in by_type.get("SQ", ()) if "SN" in fields}
    if contigs is None:
        contigs = {name: length for name, fields in described.items() if (length := _number(fields.get("LN")) or 0)}
    groups = [fields for fields in by_type.get("RG", ()) if "ID" in fields]
    samples = dict.fromkeys(fields["SM"] for fields in groups if "SM" in fields)
    nothing: dict[str, str] = {}
    return {
        **fact_table("contigs", ((n, length, *_contig(described.get(n, nothing))) for n, length in contigs.items())),
        **fact_table("samples", ((sample,) for sample in samples)),
        **fact_table("read_groups", ([fields.get(key) for key in ("ID", "SM", "LB", "PL", "PU")] for fields in groups)),
        **fact_table(
            "programs",
            ([fields.get(key) for key in ("ID", "PN", "VN", "CL", "PP")] for fields in by_type.get("PG", ())),
        ),
    }


def _contig(fields: Mapping[str, str]) -> tuple[str | None, str | None, str | None]:
    md5 = fields.get("M5")
    return (md5.lower() if md5 else None), fields.get("AS"), fields.get("SP")


def variant_facts(text: bytes) -> dict[str, pa.Table]:
    """Facts of a VCF header, from ``##fileformat`` to the line ``#CHROM``."""
    contigs: dict[str, tuple[int | None, str | None, str | None, str | None]] = {}
    definitions: list[tuple[str | None, ...]] = []
    programs: list[tuple[str | None, ...]] = []
    samples: dict[str, None] = {}
    versions: dict[str, str] = {}
    for line in text.decode("utf-8", "replace").rstrip("\0").splitlines():
        if line.startswith("#CHROM"):
            samples = dict.fromkeys(line.split("\t")[_FIXED_COLUMNS:])
            break
        key, equals, value = line.removeprefix("##").partition("=")
        if not equals:
            continue
        if key == "contig" and value.startswith("<"):
            fields = structured(value)
            if "ID" in fields:
                md5 = fields.get("md5") or fields.get("M5")
                contigs.setdefault(
                    fields["ID"],
                    (
                        _number(fields.get("length")),
                        md5.lower() if md5 else None,
                        fields.get("assembly"),
                        fields.get("species"),
                    ),
                )
        elif key in _DEFINITIONS and value.startswith("<"):
            fields = structured(value)
            definitions.append((key, *(fields.get(name) for name in ("ID", "Number", "Type", "Description"))))
        elif key == "source":
            programs.append((key, value, None, None, None))
        elif key.endswith(("Command", "CommandLine")) or key.startswith("GATKCommandLine"):
            programs.append(_program(key, value, versions))
        elif key.endswith("Version"):
            # bcftools writes the version ahead of the command of the same name.
            versions[key.removesuffix("Version")] = value
    return {
        **fact_table("contigs", ((name, *values) for name, values in contigs.items())),
        **fact_table("samples", ((sample,) for sample in samples)),
        **fact_table("programs", programs),
        **fact_table("variant_header", definitions),
    }


def _program(
    key: str, value: str, versions: Mapping[str, str]
) -> tuple[str, str | None, str | None, str | None, str | None]:
    if value.startswith("<"):
        fields = structured(value)
        identifier = fields.get("ID")
        command = fields.get("CommandLine") or fields.get("CommandLineOptions")
        return identifier or key, identifier, fields.get("Version"), command, None
    stem = key.removesuffix("Line").removesuffix("Command")
    return key, stem or None, versions.get(stem), value, None


def _number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 19:
        return None
    number = int(text)
    return number if number <= _MAX_LENGTH else None
