"""Methods that shorten audio inside a decoder: affinity pooling and its rivals, one small file each.

Read `base.py` (what a method sees and says), then any method; `known.py` names them all.
"""
