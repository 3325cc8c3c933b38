"""What production runs: merging inside a decoder. Needs torch and transformers, and nothing of the search.

Read `apply.py` (hooks), then `forward.py` (one pass), `affinity.py` (the maths) and `cache.py` (shorter layers).
"""
