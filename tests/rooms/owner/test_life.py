"""The life of a room, as a machine."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.rooms.owner.life import TRANSITIONS, Event, RoomLife, Stage


class RoomLifeTests(SynchronousTestCase):
    """Its states, and what may happen in each."""

    def at(self, *events: Event) -> RoomLife:
        """A life in which this has happened."""
        life = RoomLife()
        for event in events:
            life.follow(event)
        return life

    def test_usual(self) -> None:
        """From the beginning to the end, and what holds on the way."""
        life = RoomLife()
        seen = [(life.stage.name, life.isOpen, life.isSpeaking, life.isListed)]
        for event in (Event.OPENED, Event.CLOSED, Event.EMPTY, Event.ENDED):
            life.follow(event)
            seen.append((life.stage.name, life.isOpen, life.isSpeaking, life.isListed))
        self.assertEqual(
            seen,
            [
                ("CREATING", False, True, False),
                ("OPEN", True, True, True),
                ("DISPOSING", False, True, True),
                ("ENDING", False, False, False),
                ("DISPOSED", False, False, False),
            ],
        )

    def test_moves(self) -> None:
        """A room that moves goes on elsewhere, unless it is asked to end before the cut."""
        life = self.at(Event.OPENED, Event.MOVES)
        self.assertEqual((life.isOpen, life.isRunning, life.isTaking), (False, True, False))
        self.assertEqual((life.isSpeaking, life.isListed, life.goesOn), (True, True, True))
        self.assertTrue(life.follows(Event.CUT))
        self.assertEqual((life.stage, life.isRunning, life.isTaking), (Stage.CUT, True, False))
        self.assertEqual((life.isSpeaking, life.goesOn, life.isLost), (False, True, False))
        self.assertFalse(life.follows(Event.CLOSED))
        self.assertTrue(life.follows(Event.LOST))
        self.assertEqual((life.isRunning, life.isTaking, life.goesOn), (False, True, True))
        ending = self.at(Event.OPENED, Event.MOVES, Event.CLOSED)
        self.assertEqual((ending.stage, ending.goesOn, ending.isTaking), (Stage.DISPOSING, False, True))

    def test_lost(self) -> None:
        """Nothing is said any more once another owner has it."""
        for before in ((), (Event.OPENED,), (Event.OPENED, Event.CLOSED)):
            life = self.at(*before, Event.LOST)
            self.assertEqual((life.stage, life.isSpeaking, life.isListed), (Stage.LOST, False, False))
            self.assertFalse(life.may(Event.LOST))

    def test_impossible(self) -> None:
        """What isn't in the table is an error, and changes nothing."""
        for stage in Stage:
            for event in Event:
                life = RoomLife()
                life._enter(stage)
                self.assertEqual(life.may(event), (stage, event) in TRANSITIONS)
                if not life.may(event):
                    self.assertRaises(RuntimeError, life.follow, event)
                    self.assertIs(life.stage, stage)

    def test_ends(self) -> None:
        """Whatever happens, each state leads to the end, and the end to nothing."""
        ending = {Stage.DISPOSED}
        for _ in Stage:
            ending |= {before for (before, _), after in TRANSITIONS.items() if after in ending}
        self.assertEqual(ending, set(Stage))
        self.assertEqual([event for event in Event if (Stage.DISPOSED, event) in TRANSITIONS], [])
