"""What errors of Redis mean."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.redis.answers import Answer, answerOf, holeOf, isOfReplica
from txroom.engine.redis.resp import Lost, NotSent, RedisError

#: Errors as Redis 6 and 7 say them.
ERRORS = {
    "MISCONF Errors writing to the AOF file: No space left on device": Answer.AGAIN,
    "OOM command not allowed when used memory > 'maxmemory'.": Answer.AGAIN,
    "LOADING Redis is loading the dataset in memory": Answer.AGAIN,
    "READONLY You can't write against a read only replica.": Answer.AGAIN,
    "MASTERDOWN Link with MASTER is down": Answer.AGAIN,
    "NOREPLICAS Not enough good replicas to write.": Answer.AGAIN,
    "BUSY Redis is busy running a script.": Answer.AGAIN,
    "TRYAGAIN Multiple keys request during rehashing of slot": Answer.AGAIN,
    "CLUSTERDOWN Hash slot not served": Answer.AGAIN,
    "NOSCRIPT No matching script. Please use EVAL.": Answer.LOAD,
    "NOAUTH Authentication required.": Answer.STOP,
    "NOPERM this user has no permissions to run the 'evalsha' command": Answer.STOP,
    "WRONGPASS invalid username-password pair or user is disabled.": Answer.STOP,
    "MOVED 3999 127.0.0.1:6381": Answer.STOP,
    "CROSSSLOT Keys in request don't hash to the same slot": Answer.STOP,
    "FENCED the room has another owner": Answer.FENCED,
    "NOROOM there is no such room": Answer.NO_ROOM,
    "HOLE 12": Answer.HOLE,
    "ERR unknown command": Answer.FAILED,
    "WRONGTYPE Operation against a key holding the wrong kind of value": Answer.FAILED,
    "ERR Error running script (call to f_0a): @user_script:26: @user_script: 26: -OOM command not allowed "
    "when used memory > 'maxmemory'. ": Answer.AGAIN,
    "ERR Error running script (call to f_0a): @user_script:26: @user_script: 26: -READONLY You can't write "
    "against a read only replica. ": Answer.AGAIN,
    "ERR Error running script (call to f_0a): @user_script:2: @user_script: 2: The user executing the script "
    "can't run this command or subcommand": Answer.STOP,
    "ERR The user executing the script can't access at least one of the keys": Answer.STOP,
}


class AnswerTests(SynchronousTestCase):
    """The table of answers."""

    def test_errors(self) -> None:
        """Each error has its meaning, also inside of a script."""
        found = {text: answerOf(RedisError(text)) for text in ERRORS}
        self.assertEqual(found, ERRORS)

    def test_connection(self) -> None:
        """A command that was lost may have been run, one that was not sent can be sent again."""
        self.assertIs(answerOf(Lost("cut")), Answer.LOST)
        self.assertIs(answerOf(NotSent("too many")), Answer.AGAIN)

    def test_replica(self) -> None:
        """It is known which errors are those of replicas."""
        found = [text for text in ERRORS if isOfReplica(RedisError(text))]
        self.assertEqual(found, [text for text in ERRORS if "READONLY" in text or "MASTERDOWN" in text])
        self.assertFalse(isOfReplica(Lost("READONLY")))

    def test_hole(self) -> None:
        """The number of records is in the error."""
        self.assertEqual(holeOf(RedisError("HOLE 12")), 12)
