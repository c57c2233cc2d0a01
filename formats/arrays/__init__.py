"""Arrays: HDF5, and what is written in it: AnnData (h5ad), netCDF-4, matrices of 10x Genomics."""
