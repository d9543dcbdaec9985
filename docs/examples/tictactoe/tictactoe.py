from typing import Annotated

from msgspec import Meta, Struct

from txroom import Room, Server, message
from txroom.state import List, Map, State, Uint8

LINES = ["012", "345", "678", "036", "147", "258", "048", "246"]
TURN_SECONDS = 10


class Game(State):
    turn: str = ""
    winner: str = ""
    isDraw: bool = False
    marks: Map[Uint8]
    board: List[Uint8]


class Move(Struct):
    index: Annotated[int, Meta(ge=0, le=8)]


class TicTacToe(Room):
    maxClients = 2
    resumeSeconds = 0
    state: Game

    def onCreate(self, options):
        self.state.board.extend([0] * 9)
        self.timer = None

    def onJoin(self, client, options):
        self.state.marks[client.id] = len(self.state.marks) + 1
        if len(self.state.marks) == 2:
            self.lock()
            self.begin(client.id)

    @message("put")
    def onPut(self, client, move: Move):
        self.put(client.id, move.index)

    def put(self, id, index):
        board, marks = self.state.board, self.state.marks
        if id != self.state.turn or board[index] != 0:
            return
        board[index] = marks[id]
        if any(all(board[int(i)] == board[index] for i in line) for line in LINES):
            self.end(id)
        elif 0 not in board:
            self.state.isDraw = True
            self.end("")
        else:
            self.begin(next(other for other in marks if other != id))

    def begin(self, id):
        self.state.turn = id
        if self.timer:
            self.timer.cancel()
        self.timer = self.clock.callLater(
            TURN_SECONDS, lambda: self.put(id, list(self.state.board).index(0))
        )

    def end(self, winner):
        if self.timer:
            self.timer.cancel()
        self.state.turn = ""
        self.state.winner = winner

    def onLeave(self, client, reason):
        del self.state.marks[client.id]
        if self.state.turn:
            self.end(next(iter(self.state.marks), ""))


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("tictactoe", TicTacToe)
    server.addColyseus("/")
    return server
