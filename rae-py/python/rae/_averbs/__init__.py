"""The verbs of `rae._verbs`, awaited.

`python scripts/async_verbs.py` writes all of these modules but `base` and `models`.
"""
