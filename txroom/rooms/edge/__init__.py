"""
The edge: from a client's socket to the rooms it is in.

A connection has a session (`session`), which speaks txroom's own protocol (`framesession`, in one of the
dialects of `dialect`) or another one. The session has an `attachment` for each of its rooms. What rooms emit
comes in at the `outlet`, which knows all attachments. The `matchmaker` finds rooms for those who ask for one
by its name; `services` is what all sessions have in common. Who is not let in is told so by `refusals`.
"""
