"""Facts: the rows that a file adds to the catalog."""
