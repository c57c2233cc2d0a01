"""Variants: VCF and BCF."""
