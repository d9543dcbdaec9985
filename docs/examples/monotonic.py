from txroom.process import useMonotonicClock
from twisted.internet import reactor

useMonotonicClock(reactor)
