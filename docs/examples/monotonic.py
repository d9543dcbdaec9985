import time


def useMonotonicClock(reactor):
    """Before anything is scheduled."""
    reactor.seconds = time.monotonic
