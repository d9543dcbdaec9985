"""
The edge: the part of a server that holds the clients' connections.

Each connection has a session (`session`). A session speaks txroom's own protocol (`framesession`, in a
dialect of `dialect`) or another one, and has an `attachment` for each room of its client. The items of rooms
arrive at the `outlet`, which knows all attachments. The `matchmaker` finds rooms by name; `services` has the
objects that all sessions use; `refusals` answers clients that are refused.
"""
