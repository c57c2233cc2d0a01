"""Slices as Arrow: record batches that are made while they are read, so that memory stays flat.

Positions are 0-based, half-open in every table. What takes Arrow takes these: pandas, polars, DuckDB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from lake.decoding import Needs, decode
from lake.errors import InvalidInput, Unsupported
from lake.formats.alignments.bam_stream import open_bam_stream
from lake.formats.alignments.coverage import depths
from lake.formats.alignments.read_columns import read_batch, read_schema
from lake.formats.alignments.read_fields import ReadFields
from lake.formats.decode_options import ALIGNMENTS, VARIANTS, DecodeOptions
from lake.formats.lines.feature_columns import FEATURE_SCHEMAS, feature_batches
from lake.formats.region import Interval
from lake.formats.variants.variant_columns import VariantReader
from lake.formats.variants.variant_text import inflated, lines_of
from lake.segments import Slice

__all__ = ["COVERAGE_SCHEMA", "coverage_table", "feature_table", "read_table", "sequence_text", "variant_table"]

COVERAGE_SCHEMA = pa.schema(
    [
        pa.field("contig", pa.string()),
        pa.field("start", pa.int64()),
        pa.field("stop", pa.int64()),
        pa.field("depth", pa.float64(), metadata={"unit": "reads", "source": "mean over the bases of the bin"}),
    ]
)

_TILE = 1 << 18


def read_table(
    exact: Slice,
    form: str,
    columns: Sequence[str] | None = None,
    tags: Sequence[str] = (),
    options: DecodeOptions | None = None,
    needs: Needs | None = None,
) -> pa.RecordBatchReader:
    """Reads, a row each: columns of `lake.formats.alignments.read_columns.READ_COLUMNS`, and one for each tag.

    Raises:
        Unsupported: not an alignment.
        InvalidInput: no such column.
        FormatError: the slice is damaged; also raised by the batches.
    """
    schema = read_schema(columns, tags)
    wanted = options or DecodeOptions()
    stream = open_bam_stream(_as_bam(exact, form, needs))

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in stream.batches:
            keep = ReadFields(batch).wanted(wanted.include_flags, wanted.exclude_flags, wanted.min_quality)
            if keep.any():
                yield read_batch(batch, keep, stream.contigs, schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _as_bam(exact: Slice, form: str, needs: Needs | None) -> Iterator[bytes]:
    if form not in ALIGNMENTS:
        raise Unsupported(f"{form} has no reads: that is what BAM, CRAM and SAM have")
    return exact.iter_bytes() if form == "BAM" else decode(exact, form, DecodeOptions(format="BAM"), needs).iter_bytes()


def variant_table(exact: Slice, form: str, samples: Sequence[str] | None = None) -> pa.RecordBatchReader:
    """Variants, a row each; ``samples`` adds the genotypes of these samples, of all when it is empty.

    Raises:
        Unsupported: neither VCF nor BCF.
        InvalidInput: a sample that the file does not have.
        FormatError: the slice is damaged; also raised by the batches.
    """
    if form not in VARIANTS:
        raise Unsupported(f"{form} has no variants: that is what VCF and BCF have")
    text = exact if form == "VCF" else decode(exact, form, DecodeOptions(format="VCFTEXT"))
    reader = VariantReader(lines_of(inflated(text.iter_bytes())), samples)
    return pa.RecordBatchReader.from_batches(reader.schema, reader.batches())


def feature_table(exact: Slice, form: str) -> pa.RecordBatchReader:
    """Features, a row each; schemas are in `lake.formats.lines.feature_columns.FEATURE_SCHEMAS`.

    Raises:
        Unsupported: neither BED, GFF3 nor GTF.
        FormatError: the slice is damaged; also raised by the batches.
    """
    if form not in FEATURE_SCHEMAS:
        raise Unsupported(f"{form} has no features: that is what BED, GFF3 and GTF have")
    batches = feature_batches(form, lines_of(inflated(exact.iter_bytes())))
    return pa.RecordBatchReader.from_batches(FEATURE_SCHEMAS[form], batches)


def sequence_text(exact: Slice, form: str) -> str:
    """The bases of a slice of one region of a FASTA.

    Raises:
        Unsupported: not a FASTA.
    """
    if form != "FASTA":
        raise Unsupported(f"{form} has no sequences: that is what FASTA has")
    title, _, bases = exact.to_bytes().partition(b"\n")
    del title
    return bases.replace(b"\n", b"").decode("ascii", "replace")


def coverage_table(
    intervals: Sequence[Interval],
    contigs: Mapping[str, int],
    cut: Callable[[str], Slice],
    form: str,
    size: int,
    options: DecodeOptions,
    needs: Needs | None = None,
) -> pa.RecordBatchReader:
    """Mean depth by bins of ``size`` bases, counted from the start of each interval; every bin has a row.

    Args:
        intervals: what is asked, disjoint.
        contigs: those of the file, with their lengths.
        cut: the slice of a region.
        form: format of the file.
        size: bases of a bin; the last one of an interval may be shorter.
        options: flags and quality of reads that count.
        needs: references for a CRAM.

    Raises:
        Unsupported: not an alignment.
        InvalidInput: a bin without bases.
        FormatError: the file is damaged, or not sorted; also raised by the batches.
    """
    if size < 1:
        raise InvalidInput(f"a bin has at least one base, not {size}")
    if form not in ALIGNMENTS:
        raise Unsupported(f"{form} has no reads: that is what BAM, CRAM and SAM have")
    names = list(contigs)
    tile = max(_TILE // size, 1) * size

    def batches() -> Iterator[pa.RecordBatch]:
        for tid, start, until in intervals:
            name = names[tid]
            stop = min(until, contigs[name])
            if start >= stop:
                continue
            region = f"{{{name}}}:{start + 1}-{stop}"
            reads = open_bam_stream(_as_bam(cut(region), form, needs)).batches
            found = depths(reads, start, stop, tile, exclude=options.exclude_flags, min_quality=options.min_quality)
            for first, depth in found:
                edges = np.arange(0, len(depth), size)
                ends = np.minimum(edges + size, len(depth))
                mean = np.add.reduceat(depth, edges) / (ends - edges)
                label = pa.array([name]).take(pa.array(np.zeros(len(edges), np.int64)))
                columns = [label, pa.array(first + edges), pa.array(first + ends), pa.array(mean)]
                yield pa.RecordBatch.from_arrays(columns, schema=COVERAGE_SCHEMA)

    return pa.RecordBatchReader.from_batches(COVERAGE_SCHEMA, batches())
