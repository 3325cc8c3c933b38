"""Methods compared at matched prefill FLOPs, each at the best setting that the same number of trials finds."""
