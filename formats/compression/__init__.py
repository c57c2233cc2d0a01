"""How files are compressed, and how any byte of them is reached: BGZF, gzip, plain."""
