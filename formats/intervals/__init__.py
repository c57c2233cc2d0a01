"""Records that cover intervals, whatever their format: sources, tables, indexes, and regions compiled into slices."""
