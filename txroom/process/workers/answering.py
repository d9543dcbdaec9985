"""
What the parent answers and does when a worker asks it, for operators.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_bytes
from typing import Any

import msgspec
from msgspec import to_builtins
from msgspec.structs import replace
from twisted.logger import Logger, LogLevelFilterPredicate

from ...admin.endedsessions import EndedSessions
from ...admin.session import Session
from ...service.operating.shownworker import LEVELS, ShownWorker
from ..logs import setLevel
from ..settings import Settings
from .child import WorkerProcess
from .pipe import Answer, Ask, SessionEnded
from .supervisor import Supervisor


class Answering:
    """
    Answers the workers.

    Args:
        supervisor: Returns the supervisor of the workers, if there is one.
        reload: Reloads, as SIGHUP does.
    """

    _log = Logger()

    def __init__(self, supervisor: Callable[[], Supervisor | None], reload: Callable[[], Any]) -> None:
        self._supervisor = supervisor
        self._reload = reload
        #: What filters the log of this process, which has what the workers log; `None`: nothing does.
        self.logFilter: LogLevelFilterPredicate | None = None
        #: The lowest level of the log that an operator has set; `None`: that of the settings.
        self._level: str | None = None
        #: What the signatures of operators' sessions depend on; see `Start`. A reload does not change it.
        self.seed = token_bytes()
        #: The sessions of operators that have ended, for the next worker.
        self.endedSessions = EndedSessions()

    def leveled(self, settings: Settings) -> Settings:
        """Return the settings of the next worker, which logs from the level on that an operator has set."""
        return settings if self._level is None else replace(settings, logLevel=self._level)

    def asked(self, worker: WorkerProcess, ask: Ask) -> None:
        """Answer a worker."""
        try:
            data, problem = self._answer(worker, ask)
        except Exception:
            self._log.failure("worker {slot} could not be answered", slot=worker.slot)
            data, problem = None, "the log of the server says more"
        worker.send(Answer(ask.id, data, problem))

    def _answer(self, worker: WorkerProcess, ask: Ask) -> tuple[Any, str]:
        """Return the answer, or what is wrong."""
        supervisor = self._supervisor()
        if supervisor is None:
            return None, "the workers are being stopped"
        if ask.what == "workers":
            return [to_builtins(shown(each)) for each in supervisor.workers], ""
        if ask.what == "drain":
            return None, supervisor.replace(worker)
        if ask.what == "reload":
            self._reload()
            return None, ""
        if ask.what == "logLevel" and ask.argument in LEVELS:
            self._level = ask.argument
            if self.logFilter is not None:
                setLevel(self.logFilter, ask.argument)
            return None, ""
        if ask.what == "endSession":
            self._endSession(worker, supervisor, msgspec.json.decode(ask.argument, type=Session))
            return None, ""
        return None, "the parent of the workers has another version"

    def _endSession(self, worker: WorkerProcess, supervisor: Supervisor, session: Session) -> None:
        """Tell all other workers, also those that start or stop, and remember it for those that follow."""
        self.endedSessions.add(session)
        for each in supervisor.workers:
            if each is not worker:
                each.send(SessionEnded(session))


def shown(worker: WorkerProcess) -> ShownWorker:
    """Describe a worker."""
    connections = worker.report.stats.get("active", 0)
    return ShownWorker(
        worker.slot,
        worker.pid,
        worker.node,
        worker.state.name.lower(),
        round(worker.served, 3),
        worker.status,
        connections if isinstance(connections, int) else 0,
    )
