"""
The states of a connection:

    OPEN        Messages go both ways.
        close            → CLOSING     Our Close frame is written, and nothing after it.
        fail, lose       → DISCARDING  The peer broke a rule or does not answer: our Close frame is written.
        a Close arrives  → DISCARDING  The peer's Close frame is answered.
        terminate        → DISCARDING  No Close frame is sent; the TCP connection is dropped.
    CLOSING     Received bytes are parsed for the peer's Close frame; messages are not delivered.
        fail, lose, a Close arrives, terminate → DISCARDING
    DISCARDING  Received bytes are discarded until the peer has received everything and closed the TCP
                connection, or until the deadline.
    CLOSED      The TCP connection is closed (`connectionLost`, from every state). A hook may still run.

They are numbers in this order, because they are compared for each message.
"""

OPEN = 0
CLOSING = 1
DISCARDING = 2
CLOSED = 3
