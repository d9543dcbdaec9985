from twisted.internet import reactor

from txroom.process import useMonotonicClock

useMonotonicClock(reactor)
