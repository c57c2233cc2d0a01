"""Variants and features as Arrow: types of the header, and lines as people write them."""

from __future__ import annotations

from typing import Any

import pytest

from lake.errors import FormatError, InvalidInput, Unsupported
from lake.formats.lines.feature_columns import feature_batches
from lake.formats.variants.variant_columns import VariantReader
from lake.formats.variants.variant_text import compressed, inflated, lines_of, with_samples

HEAD = (
    b"##fileformat=VCFv4.3\n##INFO=<ID=DP,Number=1,Type=Integer,Description=x>\n##INFO=<ID=AF,Number=A,Type=Float>\n"
    b"##INFO=<ID=DB,Number=0,Type=Flag>\n##INFO=<ID=END,Number=1,Type=Integer,Description=x>\n"
    b"##INFO=<ID=S,Number=1,Type=String>\n##FORMAT=<ID=GT,Number=1,Type=String>\n##FORMAT=<ID=AD,Number=R,Type=Integer>\n"
)
TITLE = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\tB\n"


def variants(text: bytes, samples: list[str] | None = None) -> list[dict[str, Any]]:
    reader = VariantReader(lines_of(iter([text])), samples)
    return [row for batch in reader.batches() for row in batch.to_pylist()]


def test_values_have_the_types_of_the_header() -> None:
    body = b"1\t10\trs1;x\tAC\tA,<DEL>\t3.50\tPASS\tDP=7;AF=0.1,.;DB;S=a,b;odd=1\tGT:??:AD\t0/1:z:3,4\t.\n"
    (row,) = variants(HEAD + TITLE + body, ["B", "A"])
    assert row["info"] == {"DP": 7, "AF": [0.1, None], "DB": True, "END": None, "S": "a,b"}
    assert row["info_text"].endswith("odd=1")
    assert (row["start"], row["stop"], row["id"], row["alt"], row["qual"]) == (9, 11, ["rs1", "x"], ["A", "<DEL>"], 3.5)
    assert row["genotypes"] == [
        {"sample": "B", "GT": None, "AD": None},
        {"sample": "A", "GT": "0/1", "AD": [3, 4]},
    ]


def test_what_is_missing_is_null() -> None:
    (row,) = variants(HEAD + TITLE + b"1\t10\t.\tA\t.\t.\t.\t.\tGT\t.\t.\r\n")
    assert row["info"] == dict.fromkeys(("DP", "AF", "DB", "END", "S"))
    assert [row[name] for name in ("id", "alt", "qual", "filter", "info_text")] == [None] * 5
    assert "info" not in VariantReader(lines_of(iter([TITLE]))).schema.names


def test_end_is_that_of_the_region() -> None:
    (row,) = variants(HEAD + TITLE + b"1\t10\t.\tA\t<DEL>\t.\t.\tEND=500\tGT\t.\t.\n")
    assert row["stop"] == 500


@pytest.mark.parametrize(
    "text",
    [
        b"",
        HEAD,
        b"1\t5\n",
        HEAD + TITLE + b"1\t10\t.\tA\n",
        HEAD + TITLE + "1\t²\t.\tA\tC\t.\t.\t.\tGT\t.\t.\n".encode(),
        HEAD + TITLE + b"1\t-4\t.\tA\tC\t.\t.\t.\tGT\t.\t.\n",
    ],
)
def test_damaged_texts(text: bytes) -> None:
    with pytest.raises(FormatError):
        variants(text)


def test_samples_that_are_not_there() -> None:
    with pytest.raises(InvalidInput, match="no sample 'C'"):
        variants(HEAD + TITLE, ["C"])
    with pytest.raises(FormatError, match="columns"):
        list(with_samples(lines_of(iter([HEAD + TITLE + b"1\t5\n"])), ["A"]))


def test_text_survives_compression_cut_anywhere() -> None:
    text = HEAD + TITLE + b"1\t10\t.\tA\t.\t.\t.\t.\tGT\t.\t.\n" * 9000
    packed = b"".join(compressed(iter([text[:7], text[7:]])))
    for size in (1, 777, 1 << 20):
        pieces = (packed[at : at + size] for at in range(0, len(packed), size))
        if size > 1:
            assert b"".join(inflated(pieces)) == text
        else:
            assert next(inflated(pieces)).startswith(b"##fileformat")
    assert b"".join(inflated(iter([text[:1], text[1:]]))) == text
    with pytest.raises(FormatError):
        list(inflated(iter([packed[:-28]])))


def features(form: str, text: bytes) -> list[dict[str, Any]]:
    return [row for batch in feature_batches(form, lines_of(iter([text]))) for row in batch.to_pylist()]


def test_attributes_of_gff3_and_gtf() -> None:
    gff = b"##gff-version 3\nc%20x\tsrc\tgene\t11\t20\t.\t+\t0\tID=a%3Bb;Parent=p,q;Note=1=2\n###\n##FASTA\n>c\nACGT\n"
    (row,) = features("GFF3", gff)
    assert (row["contig"], row["start"], row["stop"], row["phase"], row["score"]) == ("c x", 10, 20, 0, None)
    assert dict(row["attributes"]) == {"ID": "a;b", "Parent": "p,q", "Note": "1=2"}
    gtf = b'1\ts\texon\t1\t2\t5.5\t-\t.\tgene_id "a; b"; tag "x"; tag "y"; level 2;\n'
    (row,) = features("GTF", gtf)
    assert dict(row["attributes"]) == {"gene_id": "a; b", "tag": "x,y", "level": "2"}
    assert row["score"] == 5.5


def test_bed_of_any_width() -> None:
    text = b"track name=x\nbrowser position 1\n#c\n1\t5\t9\n\n1\t6\t9\tn\t.\t+\t7\t8\ntracker\t1\t2\n"
    rows = features("BED", text)
    assert [(row["contig"], row["start"], row["name"], row["rest"]) for row in rows] == [
        ("1", 5, None, None),
        ("1", 6, "n", ["7", "8"]),
        ("tracker", 1, None, None),
    ]
    with pytest.raises(FormatError):
        features("BED", b"1\tx\t5\n")
    with pytest.raises(FormatError):
        features("GFF3", b"1\ta\n")
    with pytest.raises(Unsupported):
        features("BAM", b"")
