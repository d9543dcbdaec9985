from agent import Agent
from desk import AGENT_TOKEN, Desk
from twisted.trial.unittest import SynchronousTestCase

from txroom import RoomError
from txroom.testing import RoomHarness


class AgentTests(SynchronousTestCase):
    def setUp(self):
        self.harness = RoomHarness({"desk": Desk})
        self.addCleanup(self.harness.stop)
        self.agent = self.start(AGENT_TOKEN)
        self.customer = self.harness.client().join("desk")

    def start(self, token):
        """An agent that is connected to the server of the test."""
        where = self.harness.endpoint()
        agent = Agent(
            "ws://localhost/rooms", token, self.harness.clock, endpoint=where
        )
        agent.startService()
        self.addCleanup(self.harness.flush)
        self.addCleanup(agent.stopService)
        self.harness.flush()
        return agent

    def test_answers(self):
        """A customer gets the agent's answer, or the agent's error."""
        self.assertEqual(self.customer.call("ask", "When do you open?"), "at nine")
        error = self.assertRaises(
            RoomError, self.customer.call, "ask", "What is love?"
        )
        self.assertEqual(str(error), "noAnswer: ask something else")

    def test_returns(self):
        """An agent whose membership was ended is back five seconds later."""
        room = self.harness.roomOf(self.customer)
        room.kick(room.clients[0])
        self.harness.flush()
        error = self.assertRaises(
            RoomError, self.customer.call, "ask", "When do you open?"
        )
        self.assertEqual(error.code, "closed")
        self.harness.advance(5)
        self.assertEqual(self.customer.call("ask", "When do you open?"), "at nine")

    def test_announces(self):
        """All members hear an announcement; another member may not make one."""
        self.harness.resultOf(self.agent.announce("We close at five."))
        self.assertEqual(self.customer.expect("announced"), "We close at five.")
        self.assertRaises(RoomError, self.customer.call, "announce", "All is free!")
