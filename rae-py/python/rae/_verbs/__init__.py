"""The verbs, by subject: the one place where each is written.

Every module holds a part of `Rae`. The parts have its name, because Python's own messages for wrong
arguments begin with it ("Rae.recall() got an unexpected keyword argument"). A verb belongs in the
module of its subject: its signature, its documentation, and what it makes of its arguments. Then
`python scripts/async_verbs.py` writes the asynchronous twins in `rae._averbs`; those of `models`,
which give handles, are written by hand.
"""
