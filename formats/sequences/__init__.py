"""Sequences: FASTA and FASTQ."""
