"""Facts: the rows that a file adds to the catalog, as one literal table of kinds, columns, types, units and sources.

Positions are 0-based and half-open in every table. `lake.formats.facts.sources` says which format has which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from lake.columns import column

__all__ = ["FACT_KINDS", "Column", "FactKind", "fact_table"]


class Column(NamedTuple):
    """One column of a kind of facts."""

    name: str
    type: pa.DataType
    unit: str
    """``bases``, ``bytes``, ``records``; empty where there is none."""
    source: str
    """Where the value comes from: ``SAM @RG SM``."""


class FactKind(NamedTuple):
    """One kind of facts, a table of the catalog."""

    name: str
    summary: str
    columns: tuple[Column, ...]
    shared: bool = False
    """Many files tend to have the very same table, as all that were aligned to one reference: kept once."""

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema; unit and source of a column are metadata of its field."""
        return pa.schema(
            [
                pa.field(name, type_, metadata={"unit": unit, "source": source})
                for name, type_, unit, source in self.columns
            ],
            metadata={"facts": self.name, "summary": self.summary},
        )


_TEXT, _INT, _BIG, _REAL = pa.string(), pa.int32(), pa.int64(), pa.float64()

FACT_KINDS: dict[str, FactKind] = {
    kind.name: kind
    for kind in (
        FactKind(
            "contigs",
            "contigs that a header declares, in its order",
            (
                Column("name", _TEXT, "", "SAM @SQ SN or the binary list of a BAM; VCF ##contig ID"),
                Column("length", _BIG, "bases", "SAM @SQ LN; VCF ##contig length; null where not given"),
                Column("md5", _TEXT, "", "SAM @SQ M5; VCF ##contig md5 or M5; lower case"),
                Column("assembly", _TEXT, "", "SAM @SQ AS; VCF ##contig assembly"),
                Column("species", _TEXT, "", "SAM @SQ SP; VCF ##contig species"),
            ),
            shared=True,
        ),
        FactKind(
            "samples",
            "samples of a file",
            (Column("sample", _TEXT, "", "SAM @RG SM, each once; columns of the VCF line #CHROM"),),
        ),
        FactKind(
            "read_groups",
            "read groups of an alignment",
            (
                Column("id", _TEXT, "", "SAM @RG ID"),
                Column("sample", _TEXT, "", "SAM @RG SM"),
                Column("library", _TEXT, "", "SAM @RG LB"),
                Column("platform", _TEXT, "", "SAM @RG PL, as written"),
                Column("unit", _TEXT, "", "SAM @RG PU"),
            ),
        ),
        FactKind(
            "programs",
            "programs that made or changed a file",
            (
                Column("id", _TEXT, "", "SAM @PG ID; the key of a VCF line ##…Command or ##source"),
                Column("name", _TEXT, "", "SAM @PG PN"),
                Column("version", _TEXT, "", "SAM @PG VN"),
                Column("command_line", _TEXT, "", "SAM @PG CL; the value of the VCF line"),
                Column("previous", _TEXT, "", "SAM @PG PP"),
            ),
        ),
        FactKind(
            "contig_stats",
            "records by contig, from an index or a table",
            (
                Column(
                    "contig", _TEXT, "", "header, records, or names of a TBI or CSI; null: records without a position"
                ),
                Column(
                    "mapped",
                    _BIG,
                    "records",
                    "BAI, CSI: pseudo-bin, mapped reads; SAM: FLAG; null for variants and features",
                ),
                Column("unmapped", _BIG, "records", "BAI, CSI: pseudo-bin, unmapped reads at the contig; SAM: FLAG"),
                Column("records", _BIG, "records", "BAI, CSI, TBI: pseudo-bin, all records; other formats: counted"),
            ),
        ),
        FactKind(
            "variant_header",
            "fields that a VCF or BCF header defines",
            (
                Column("kind", _TEXT, "", "INFO, FORMAT, FILTER or ALT"),
                Column("id", _TEXT, "", "VCF ID"),
                Column("number", _TEXT, "", "VCF Number: a count, A, R, G or ."),
                Column("type", _TEXT, "", "VCF Type"),
                Column("description", _TEXT, "", "VCF Description"),
            ),
            shared=True,
        ),
        FactKind(
            "sequences",
            "sequences of a FASTA",
            (
                Column("name", _TEXT, "", "first word of the header line"),
                Column("length", _BIG, "bases", "residues without white space"),
                Column("md5", _TEXT, "", "MD5 of the upper-case residues, as SAM M5"),
                Column("ga4gh", _TEXT, "", "refget: SQ. and the base64url of 24 bytes of SHA-512"),
            ),
        ),
        FactKind(
            "chunks",
            "what each chunk covers: a row for each chunk and contig, or for each chunk of spectra",
            (
                Column("ord", _INT, "", "number of the chunk, from 0"),
                Column("offset", _BIG, "bytes", "chunk map"),
                Column("length", _BIG, "bytes", "chunk map"),
                Column("contig", _TEXT, "", "null: header, end marker, or records without a position"),
                Column("start", _BIG, "bases", "first position of records that start in the chunk, 0-based"),
                Column("stop", _BIG, "bases", "largest end of records that start in the chunk, exclusive"),
                Column(
                    "exact", pa.bool_(), "", "true: from records; false: an index gave bounds that hold all records"
                ),
                Column("rt_start", _REAL, "seconds", "least retention time of spectra that start in the chunk"),
                Column("rt_stop", _REAL, "seconds", "greatest retention time of spectra that start in the chunk"),
                Column("ms_levels", _TEXT, "", "their MS levels, ascending, joined by commas"),
            ),
        ),
        FactKind(
            "runs",
            "runs of a mass spectrometer, one a file",
            (
                Column("run_id", _TEXT, "", "mzML run id"),
                Column("started", _TEXT, "", "mzML run startTimeStamp, ISO 8601 as written"),
                Column("instrument", _TEXT, "", "name of the instrument model, MS:1000031 and its children"),
                Column("serial_number", _TEXT, "", "MS:1000529"),
                Column("software", _TEXT, "", "programs and versions, joined by '; '"),
                Column("native_id_format", _TEXT, "", "accession of the native spectrum identifier format, MS:1000767"),
                Column("spectra", _BIG, "spectra", "counted"),
                Column("chromatograms", _BIG, "chromatograms", "counted"),
                Column("rt_start", _REAL, "seconds", "least retention time"),
                Column("rt_stop", _REAL, "seconds", "greatest retention time"),
                Column("low_mz", _REAL, "m/z", "least lowest observed m/z"),
                Column("high_mz", _REAL, "m/z", "greatest highest observed m/z"),
                Column("ms_levels", _TEXT, "", "MS levels that occur, ascending, joined by commas"),
                Column("polarities", _TEXT, "", "polarities that occur: +, - or +,-"),
                Column(
                    "own_index_ok", pa.bool_(), "", "whether the index in the file is right; null where it has none"
                ),
            ),
        ),
        FactKind(
            "spectra",
            "spectra of a run; null where the file says nothing",
            (
                Column("ord", _INT, "", "place in the file, from 0"),
                Column("native_id", _TEXT, "", "mzML spectrum id"),
                Column("scan", _BIG, "", "scan number that the native id states"),
                Column("ms_level", pa.int16(), "", "MS:1000511"),
                Column("rt", _REAL, "seconds", "scan start time, MS:1000016"),
                Column("polarity", _TEXT, "", "+ MS:1000130, - MS:1000129"),
                Column("centroided", pa.bool_(), "", "true MS:1000127, false MS:1000128"),
                Column("n_points", _BIG, "points", "defaultArrayLength"),
                Column("tic", _REAL, "counts", "total ion current, MS:1000285"),
                Column("base_peak_mz", _REAL, "m/z", "MS:1000504"),
                Column("base_peak_intensity", _REAL, "counts", "MS:1000505"),
                Column("low_mz", _REAL, "m/z", "lowest observed m/z, MS:1000528"),
                Column("high_mz", _REAL, "m/z", "highest observed m/z, MS:1000527"),
                Column("precursor_mz", _REAL, "m/z", "selected ion m/z, MS:1000744, of the first precursor"),
                Column("precursor_charge", pa.int16(), "", "MS:1000041"),
                Column("precursor_intensity", _REAL, "counts", "MS:1000042"),
                Column("isolation_mz", _REAL, "m/z", "isolation window target m/z, MS:1000827"),
                Column("isolation_low", _REAL, "m/z", "target less lower offset, MS:1000828"),
                Column("isolation_high", _REAL, "m/z", "target plus upper offset, MS:1000829"),
                Column("activation", _TEXT, "", "dissociation method, MS:1000044 and its children, by accession"),
                Column("collision_energy", _REAL, "electronvolts", "MS:1000045"),
                Column("ion_mobility", _REAL, "", "inverse reduced ion mobility MS:1002815 or drift time MS:1002476"),
                Column("filter_string", _TEXT, "", "MS:1000512"),
                Column("injection_time", _REAL, "milliseconds", "ion injection time, MS:1000927"),
                Column("offset", _BIG, "bytes", "first byte of the spectrum in the file"),
                Column("length", _BIG, "bytes", "bytes of the spectrum in the file"),
                Column("x", _INT, "pixels", "position x, IMS:1000050, from 1"),
                Column("y", _INT, "pixels", "position y, IMS:1000051, from 1"),
                Column("z", _INT, "pixels", "position z, IMS:1000052"),
            ),
        ),
        FactKind(
            "chromatograms",
            "chromatograms that a file stores",
            (
                Column("ord", _INT, "", "place in the file, from 0"),
                Column("native_id", _TEXT, "", "mzML chromatogram id"),
                Column("type", _TEXT, "", "chromatogram type, MS:1000626 and its children, by accession"),
                Column("n_points", _BIG, "points", "defaultArrayLength"),
                Column("polarity", _TEXT, "", "+ MS:1000130, - MS:1000129"),
                Column("precursor_mz", _REAL, "m/z", "isolation window target m/z of the precursor, MS:1000827"),
                Column("product_mz", _REAL, "m/z", "isolation window target m/z of the product, MS:1000827"),
                Column("collision_energy", _REAL, "electronvolts", "MS:1000045"),
                Column("offset", _BIG, "bytes", "first byte of the chromatogram in the file"),
                Column("length", _BIG, "bytes", "bytes of the chromatogram in the file"),
            ),
        ),
        FactKind(
            "datasets",
            "datasets of an HDF5 file, and its groups that have attributes",
            (
                Column("dataset", _TEXT, "", "path inside the file, from /"),
                Column("shape", pa.list_(_BIG), "elements", "dataspace, slowest dimension first; null for groups"),
                Column("dtype", _TEXT, "", "type as numpy writes it"),
                Column("chunk_shape", pa.list_(_BIG), "elements", "chunked layout; null where contiguous"),
                Column("filters", _TEXT, "", "filters of the pipeline, joined by commas"),
                Column("fill_value", _TEXT, "", "fill value, as JSON"),
                Column("attributes", _TEXT, "", "attributes, as a JSON object"),
                Column("encoding_type", _TEXT, "", "attribute encoding-type of AnnData"),
                Column("size", _BIG, "bytes", "bytes in memory"),
                Column("stored", _BIG, "bytes", "bytes in the file"),
            ),
        ),
        FactKind(
            "tables",
            "tables in everyday formats: CSV, TSV, Parquet, JSON",
            (
                Column("rows", _BIG, "rows", "Parquet: footer; others: counted; null where that would be dear"),
                Column("columns", _BIG, "columns", "Parquet: footer; CSV, TSV: widest of the first rows; JSON: keys"),
                Column("column_names", pa.list_(_TEXT), "", "null without a header, or of more than 10,000 columns"),
                Column(
                    "column_types", pa.list_(_TEXT), "", "Parquet: as Arrow writes them; CSV, TSV: by the first rows"
                ),
                Column("delimiter", _TEXT, "", "CSV: found; TSV: a tab"),
            ),
        ),
        FactKind(
            "documents",
            "what stands at the top of a JSON file",
            (
                Column("kind", _TEXT, "", "object, array, string, number, boolean, null; lines: a value on each line"),
                Column("items", _BIG, "items", "keys, elements or lines; null of more than 4 MiB of text"),
            ),
        ),
        FactKind(
            "images",
            "pages of a picture",
            (
                Column("width", _BIG, "pixels", "TIFF ImageWidth; PNG IHDR; JPEG frame header"),
                Column("height", _BIG, "pixels", "TIFF ImageLength; PNG IHDR; JPEG frame header"),
                Column("bits", _INT, "bits", "of a sample: TIFF BitsPerSample; PNG IHDR; JPEG frame header"),
                Column(
                    "samples", _INT, "samples", "of a pixel: TIFF SamplesPerPixel; PNG colour type; JPEG components"
                ),
                Column("compression", _TEXT, "", "TIFF Compression; PNG: deflate; JPEG: JPEG"),
                Column("reduced", pa.bool_(), "", "TIFF NewSubfileType: a smaller version of another page"),
            ),
        ),
    )
}
"""Every kind by name. The order is that of the documentation."""


def fact_table(kind: str, rows: Iterable[Sequence[Any]]) -> dict[str, pa.Table]:
    """A table of one kind from rows, under its name; nothing when there are no rows."""
    schema = FACT_KINDS[kind].schema
    columns = list(zip(*rows, strict=True))
    if not columns:
        return {}
    arrays = [column(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return {kind: pa.Table.from_arrays(arrays, schema=schema)}
