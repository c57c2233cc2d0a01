"""regionlake: a data lake for scientific files with region-aware access."""
