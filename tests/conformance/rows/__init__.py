"""A tiny random model and a real processor of each family, one file each."""
