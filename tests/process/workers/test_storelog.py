"""Tests for what the store's program prints."""

from __future__ import annotations

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from txroom.process.workers.storelog import StoreLog

NOW = "1234:M 29 Nov 2026 17:40:00.123"


class StoreLogTests(SynchronousTestCase):
    """The lines of one process."""

    def setUp(self) -> None:
        self.unwritten: list[bool] = []
        self.log = StoreLog(lambda: self.unwritten.append(True))

    def shown(self, *lines: str) -> list[tuple[str, str]]:
        """What is logged."""
        with capturedLogs() as events:
            self.log.received("".join(f"{line}\n" for line in lines).encode())
        return [(event["log_level"].name, event["text"]) for event in events]

    def test_levels(self) -> None:
        """Warnings are shown once the store answers; before that there are many that do not matter."""
        lines = (f"{NOW} # Something is wrong", f"{NOW} * Ready to accept connections")
        wrong, ready = "Something is wrong", "Ready to accept connections"
        self.assertEqual(self.shown(*lines), [("debug", wrong), ("debug", ready)])
        self.log.up()
        self.assertEqual(self.shown(*lines), [("warn", wrong), ("debug", ready)])

    def test_aboutSystem(self) -> None:
        """A warning about the system is shown always, and is not the reason of a failed start."""
        text = "WARNING Memory overcommit must be enabled!"
        self.assertEqual(self.shown(f"{NOW} # {text}"), [("warn", text)])
        self.assertEqual(self.log.last, "")

    def test_stopping(self) -> None:
        """What it says of the stop that it was told is no warning, unless something can't be written."""
        line = f"{NOW} # Redis is now ready to exit, bye bye..."
        unwritten = f"{NOW} # Error writing to the AOF file: No space left on device"
        self.log.up()
        self.assertEqual(self.shown(line)[0][0], "warn")
        self.log.stopping()
        self.assertEqual([level for level, _ in self.shown(line, unwritten)], ["info", "warn"])

    def test_truncated(self) -> None:
        """An incomplete end of the data is shown always."""
        text = "!!! Truncating the AOF appendonly.aof.1.incr.aof at offset 41 !!!"
        self.assertEqual(self.shown(f"{NOW} # {text}"), [("warn", text)])
        self.assertEqual(self.log.damaged, "")

    def test_pieces(self) -> None:
        """Lines may arrive in pieces."""
        with capturedLogs() as events:
            for piece in (b"1:M 2 # a", b"", b"b\n1:M 2 # c\n\n1:M"):
                self.log.received(piece)
        self.assertEqual([event["text"] for event in events], ["ab", "c"])

    def test_strange(self) -> None:
        """Bytes that are not UTF-8 do no harm."""
        self.log.received(b"\xff\n")
        self.assertEqual(self.log.last, "\ufffd")

    def test_last(self) -> None:
        """The last lines are those that may say why the program has ended."""
        self.shown(f"{NOW} # Redis version=7.0.15", f"{NOW} # Server initialized")
        self.shown(f"{NOW} # WARNING Memory overcommit must be enabled!", f"{NOW} # ", f"{NOW} * Loading")
        self.assertEqual(self.log.last, "")
        self.shown(*(f"{NOW} # reason {number}" for number in range(6)))
        self.assertEqual(self.log.last, "reason 2; reason 3; reason 4; reason 5")
        self.log.up()
        self.assertEqual(self.log.last, "")

    def test_damaged(self) -> None:
        """The file that is damaged is known."""
        for file, text in (
            ("a.incr.aof", "Bad file format reading the append only file a.incr.aof: make a backup"),
            ("a.incr.aof", "Unexpected end of file reading the append only file a.incr.aof. You can: 1)"),
            ("a.incr.aof", "Unknown command 'FOO' reading the append only file a.incr.aof"),
            ("a.incr.aof", "Error reading the append only file a.incr.aof, error: unknown command"),
            ("a.base.rdb", "[offset 0] Checking RDB file a.base.rdb"),
            (
                "a.incr.aof",
                "Unable to obtain the AOF file a.incr.aof length. stat: No such file or directory",
            ),
            ("appendonly.aof.manifest", "*** FATAL AOF MANIFEST FILE ERROR ***"),
            ("", "Unrecoverable error reading the append only file a.incr.aof: Permission denied"),
            ("", "Can't open or create append-only dir appendonlydir: Permission denied"),
        ):
            self.log = StoreLog(lambda: self.unwritten.append(True))
            self.shown(f"{NOW} # {text}" if not text.startswith(("[", "*")) else text)
            self.assertEqual(self.log.damaged, file, text)

    def test_unwritten(self) -> None:
        """It is told that something could not be written."""
        self.shown(f"{NOW} # Short write while writing to the AOF file: (nwritten=1, expected=2)")
        self.shown(f"{NOW} # Error writing to the AOF file: No space left on device", f"{NOW} # Else")
        self.assertEqual(self.unwritten, [True, True])

    def test_slow(self) -> None:
        """A store that doesn't answer yet is mentioned."""
        with capturedLogs() as events:
            self.log.slow()
        self.assertEqual([event["log_level"] for event in events], [LogLevel.info])
