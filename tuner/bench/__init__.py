"""What merging saves on the device at hand: time, memory and FLOPs, measured in alternation with the bare model.

Read `run.py` (who is measured on what), then `clock.py` (one call of generate) and `results.py` (what is kept).
"""
