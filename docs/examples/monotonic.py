from txroom.process.monotonic import useMonotonicClock
from twisted.internet import reactor

useMonotonicClock(reactor)
