"""Files of lines with columns: BED, GFF3, GTF, and whatever tabix can index."""
