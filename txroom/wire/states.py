"""
The states of a connection:

    OPEN        Messages go both ways.
        close            → CLOSING     Our Close frame is written, and nothing after it.
        fail, lose       → DISCARDING  The peer broke a rule, or is gone: our Close frame is written.
        its Close frame  → DISCARDING  It is answered.
        terminate        → DISCARDING  No Close frame is sent; the TCP connection is dropped.
    CLOSING     What comes is parsed for the peer's Close frame; its messages are not delivered.
        fail, lose, its Close frame, terminate → DISCARDING
    DISCARDING  What comes is thrown away, until the peer has taken what was sent and has closed, or until
                the deadline.
    CLOSED      The TCP connection is gone (`connectionLost`, from every state). A hook may still run.

They are numbers in that order, since they are compared for each message.
"""

OPEN = 0
CLOSING = 1
DISCARDING = 2
CLOSED = 3
