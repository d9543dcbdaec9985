"""The pages for programs that watch a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families as parse
from twisted.internet.defer import Deferred, fail, succeed

from tests.admin.case import READ, TOKEN, AdminCase
from txroom import RoomError
from txroom.admin.metrics import QUESTION
from txroom.rooms.contract.nodes import NodeInfo
from txroom.service.listeningservice import ListeningService
from txroom.service.workerplace import WorkerPlace


class MetricsCase(AdminCase):
    """A server whose metrics are asked for."""

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """All samples, by name and labels."""
        answer = self.ask("GET", "/metrics", token=READ)
        self.assertEqual(answer.status, 200, answer.body)
        samples: dict[Any, float] = {}
        for family in parse(answer.body.decode()):
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                self.assertNotIn(key, samples)
                samples[key] = sample.value
        return samples

    def value(self, name: str, **labels: str) -> float | None:
        """One sample."""
        return self.metrics().get((name, tuple(sorted(labels.items()))))


class AccessTests(MetricsCase):
    """Who may ask."""

    def test_metricsNeedSecret(self) -> None:
        """The metrics need a secret, of any role."""
        self.start()
        for token, status in ((None, 401), ("wrong" * 10, 401), (READ, 200), (TOKEN, 200)):
            self.assertEqual(self.ask("GET", "/metrics", token=token).status, status, token)

    def test_methods(self) -> None:
        """Nothing but GET and HEAD; other paths belong to the API."""
        self.start()
        self.assertEqual(self.refusal("POST", "/metrics"), (405, ""))
        self.assertEqual(self.ask("HEAD", "/livez", token=None).status, 200)
        self.assertEqual(self.refusal("GET", "/metrics/more"), (404, ""))

    def test_sites(self) -> None:
        """No page of another site may ask, and no name that isn't the listener's."""
        self.start()
        for path in ("/metrics", "/livez", "/readyz"):
            self.assertEqual(self.refusal("GET", path, host="evil.example"), (421, "Host"))
            self.assertEqual(self.refusal("GET", path, Origin="https://evil.example"), (403, "Origin"))

    def test_notInstalled(self) -> None:
        """Without prometheus-client the answer says what to install, and nothing is timed."""
        with patch("txroom.admin.metrics.find_spec", lambda name: None):
            self.start()
            answer = self.ask("GET", "/metrics")
            self.assertEqual(answer.status, 501)
            self.assertIn("pip install txroom[metrics]", answer.json["detail"])
            self.assertFalse(self.harness.server.rooms.meters.isTiming)
            self.assertEqual(self.ask("GET", "/metrics", token=None).status, 401)

    def test_clientLeaves(self) -> None:
        """A client that has left is not answered, and nothing is logged."""
        self.start()
        waited: Deferred[Any] = Deferred()
        self.harness.server._metrics.collect = lambda: waited  # type: ignore[method-assign]
        client = self.send("GET", "/metrics")
        client.drop()
        self.harness.flush()
        waited.callback([])
        self.assertEqual(client.output, b"")

    def test_fails(self) -> None:
        """If the metrics can't be collected, that is logged, and the client gets no details."""
        self.start()
        self.harness.server._metrics.collect = (  # type: ignore[method-assign]
            lambda: fail(RuntimeError("secret text"))
        )
        answer = self.ask("GET", "/metrics")
        self.assertEqual(answer.status, 500)
        self.assertNotIn(b"secret text", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class ProbeTests(MetricsCase):
    """``/livez`` and ``/readyz``."""

    def test_well(self) -> None:
        """Without a secret they say "ok"; with one, `/readyz` says what the health page says."""
        self.start()
        for path in ("/livez", "/readyz"):
            answer = self.ask("GET", path, token=None)
            self.assertEqual((answer.status, answer.body), (200, b"ok\n"))
        self.assertEqual(self.ask("GET", "/readyz", token=READ).json, {"status": "ok"})

    def test_wrongSecret(self) -> None:
        """A wrong secret is refused here too, so that these pages don't help to guess."""
        self.start()
        for path in ("/livez", "/readyz"):
            self.assertEqual(self.ask("GET", path, token="wrong" * 10).status, 401)

    def test_engineIsDown(self) -> None:
        """While the engine can't serve rooms: alive, but not ready; why is told with a secret only."""
        self.start()
        self.harness.server.engine.health = lambda: "Redis is away"  # type: ignore[method-assign]
        self.assertEqual(self.ask("GET", "/livez", token=None).status, 200)
        answer = self.ask("GET", "/readyz", token=None)
        self.assertEqual((answer.status, answer.body), (503, b"not ready\n"))
        answer = self.ask("GET", "/readyz", token=READ)
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.json, {"status": "unavailable", "reason": "Redis is away"})

    def test_draining(self) -> None:
        """While the server stops it is alive, but not ready."""
        self.start()
        with patch.object(type(self.harness.server), "isDraining", True):
            self.assertEqual(self.ask("GET", "/livez", token=None).status, 200)
            self.assertEqual(self.ask("GET", "/readyz", token=None).status, 503)
            self.assertEqual(self.ask("GET", "/readyz").json, {"status": "draining"})
            self.assertEqual(self.value("txroom_draining"), 1)

    def test_stalled(self) -> None:
        """After a stall it is ready, and says so with a secret."""
        self.start()
        self.harness.advance(2)
        self.harness.clock.rightNow += 5
        self.harness.advance(1)
        answer = self.ask("GET", "/readyz")
        self.assertEqual((answer.status, answer.json["status"]), (200, "degraded"))
        self.assertEqual(self.ask("GET", "/readyz", token=None).body, b"ok\n")


class ServerMetricsTests(MetricsCase):
    """What one server tells."""

    def test_rooms(self) -> None:
        """Connections, messages, rooms and handlers."""
        self.start()
        rooms = [self.harness.client().join("chat") for _ in range(3)]
        rooms[0].send("say", "hello")
        self.harness.advance(1)
        metrics = self.metrics()

        def value(name: str, **labels: str) -> float:
            return metrics[name, tuple(sorted(labels.items()))]

        self.assertEqual(value("txroom_connections"), 3)
        self.assertEqual(value("txroom_upgrades_total", result="ok"), 3)
        self.assertEqual(value("txroom_joins_total", result="ok"), 3)
        self.assertEqual(value("txroom_rooms", room="chat"), 1)
        self.assertEqual(value("txroom_members", room="chat"), 3)
        self.assertGreaterEqual(value("txroom_messages_total", direction="in"), 1)
        self.assertGreater(value("txroom_message_bytes_total", direction="out"), 10)
        self.assertEqual(value("txroom_handler_seconds_count", room="chat", type="say"), 1)
        self.assertEqual(value("txroom_handler_seconds_bucket", room="chat", type="say", le="+Inf"), 1)
        self.assertEqual(value("txroom_broadcast_recipients_sum"), 3)
        self.assertEqual(value("txroom_reactor_lag_seconds_count"), 4)
        self.assertEqual(value("txroom_notifications_queued_total"), 0)
        self.assertNotIn(("txroom_redis_up", ()), metrics)
        self.assertNotIn("worker", str(metrics))

    def test_unknownCodes(self) -> None:
        """However many codes clients close with, there are few labels."""
        self.start()
        for code in (1000, 1001, 3001, 3002, 4400, 4401, 4402):
            self.harness.connect("/rooms").close(code)
        self.harness.flush()
        metrics = self.metrics()
        closes = {labels[0][1]: value for (name, labels), value in metrics.items() if "closes" in name}
        self.assertEqual(closes, {"1000": 1, "1001": 1, "3xxx": 2, "4xxx": 3})

    def test_registered(self) -> None:
        """Python's own metrics are there, and those of the application."""
        self.start()

        class Mine:
            def collect(self) -> Iterator[Metric]:
                family = GaugeMetricFamily("mine", "What is mine.", labels=["worker"])
                family.add_metric(["bee"], float("inf"))
                yield family

        mine: Any = Mine()
        REGISTRY.register(mine)
        try:
            metrics = self.metrics()
            self.assertEqual(metrics["mine", (("worker", "bee"),)], float("inf"))
            self.assertIn(("process_cpu_seconds_total", ()), metrics)
            self.harness.server.worker = WorkerPlace(2, 100)
            metrics = self.metrics()
            self.assertEqual(metrics["mine", (("exported_worker", "bee"), ("worker", "2"))], float("inf"))
        finally:
            REGISTRY.unregister(mine)

    def test_collectorRaises(self) -> None:
        """A collector of the application that raises costs the metrics of the registry, and is logged."""
        self.start()

        class Broken:
            def collect(self) -> Iterator[Metric]:
                if self.isRegistered:
                    raise RuntimeError("mine is broken")
                return iter(())

            isRegistered = False

        broken: Any = Broken()
        REGISTRY.register(broken)
        broken.isRegistered = True
        try:
            self.assertEqual(self.value("txroom_connections"), 0)
        finally:
            REGISTRY.unregister(broken)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_openMetrics(self) -> None:
        """Prometheus gets the format that it prefers."""
        self.start()
        answer = self.ask("GET", "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        self.assertIn("application/openmetrics-text", answer.headers["content-type"])
        self.assertTrue(answer.body.endswith(b"# EOF\n"))

    def test_twoListeners(self) -> None:
        """Several admin listeners have the same metrics."""
        self.start()
        self.harness.server.addAdmin("tcp:9001:interface=127.0.0.1", token=TOKEN)
        self.assertEqual(len(self.harness.server.adminPorts), 2)


class WorkersTests(MetricsCase):
    """The metrics of all workers, whichever is asked."""

    def setUp(self) -> None:
        super().setUp()
        self.start()
        server = self.harness.server
        server.worker = WorkerPlace(1, 100)
        self.nodes = list(server.engine.nodes())
        host = self.nodes[0].host
        self.nodes += [NodeInfo("b", host, 7), NodeInfo("c", host, 8), NodeInfo("d", "elsewhere", 9)]
        server.engine.nodes = lambda: self.nodes  # type: ignore[method-assign]
        self.asked: list[Any] = []
        self.answers: dict[str, Any] = {}
        server.cluster.askNode = self.askNode  # type: ignore[method-assign]

    def askNode(self, node: str, name: str, args: Any = None) -> Deferred[Any]:
        self.asked.append((node, name, args))
        answer = self.answers.get(node)
        return fail(RoomError("unavailable")) if answer == "down" else succeed(answer)

    def report(self, slot: int, startedAt: float, connections: int, opened: int) -> list[Any]:
        """An answer of another worker."""
        gauge = ["txroom_connections", "gauge", "", [["txroom_connections", {}, connections]]]
        counted = ["txroom_upgrades", "counter", "", [["txroom_upgrades_total", {"result": "ok"}, opened]]]
        return [slot, [startedAt, [gauge, counted]]]

    def test_all(self) -> None:
        """Each sample has the number of its worker; nodes of other machines are not asked."""
        self.answers["b"] = self.report(2, 5.0, 40, 400)
        self.harness.connect("/rooms")
        metrics = self.metrics()
        self.assertEqual(self.asked, [("b", QUESTION, 100), ("c", QUESTION, 100)])
        self.assertEqual(metrics["txroom_connections", (("worker", "1"),)], 1)
        self.assertEqual(metrics["txroom_connections", (("worker", "2"),)], 40)
        self.assertEqual(metrics["txroom_workers_unanswered", ()], 0)
        with_ = [labels for name, labels in metrics if name != "txroom_workers_unanswered"]
        self.assertTrue(all(dict(labels).get("worker") for labels in with_))

    def test_unanswered(self) -> None:
        """A worker that doesn't answer, or not in a form that is understood, is missing, and counted."""
        self.answers = {"b": "down", "c": [3, "nonsense"]}
        metrics = self.metrics()
        self.assertEqual(metrics["txroom_workers_unanswered", ()], 2)
        self.assertEqual(metrics["txroom_connections", (("worker", "1"),)], 0)

    def test_reload(self) -> None:
        """Of two processes with one number gauges are added, and the counters of the younger one count."""
        self.answers = {"b": self.report(2, 5.0, 40, 400), "c": self.report(2, 9.0, 3, 4)}
        metrics = self.metrics()
        self.assertEqual(metrics["txroom_connections", (("worker", "2"),)], 43)
        self.assertEqual(metrics["txroom_upgrades_total", (("result", "ok"), ("worker", "2"))], 4)

    def test_states(self) -> None:
        """If two processes have one number, the younger one gives the values that are no amounts."""
        for node, startedAt, up in (("b", 5.0, 0), ("c", 9.0, 1)):
            kinds = (("txroom_redis_up", up), ("process_start_time_seconds", startedAt), ("players", 10))
            families: list[Any] = [[name, "gauge", "", [[name, {}, value]]] for name, value in kinds]
            self.answers[node] = [2, [startedAt, families]]
        metrics = self.metrics()
        for name, value in (("txroom_redis_up", 1), ("process_start_time_seconds", 9.0), ("players", 20)):
            self.assertEqual(metrics[name, (("worker", "2"),)], value)

    def test_leaving(self) -> None:
        """A worker that gives its rooms away tells no counters, so they don't jump back; it may come back."""
        server = self.harness.server
        self.patch(ListeningService, "leave", lambda self, nodes: succeed(0))
        self.patch(ListeningService, "stay", lambda self: None)
        for change, isWhole in ((lambda: server.leave(["b"]), False), (server.stay, True)):
            change()
            kinds = {family[1] for family in server._metrics._answer(100)[1][1]}
            self.assertEqual((kinds == {"gauge"}, "counter" in kinds), (not isWhole, isWhole))

    def test_answer(self) -> None:
        """A worker answers those of its own parent, with what `/metrics` has."""
        metrics = self.harness.server._metrics
        slot, report = metrics._answer(100)
        self.assertEqual((slot, report[1][0][0]), (1, "txroom_info"))
        self.assertIsNone(metrics._answer(101))
        self.harness.server.worker = None
        self.assertIsNone(metrics._answer(100))

    def test_together(self) -> None:
        """Those who ask at the same time get the same; the workers are asked once."""
        waited: Deferred[Any] = Deferred()
        self.answers = {}
        server: Any = self.harness.server

        def askNode(*args: Any) -> Deferred[Any]:
            self.asked.append(args)
            return waited

        server.cluster.askNode = askNode
        clients = [self.send("GET", "/metrics") for _ in range(3)]
        self.harness.flush()
        self.assertEqual(len(self.asked), 2)
        waited.callback(None)
        self.harness.flush()
        self.assertEqual([b"txroom_info" in client.output for client in clients], [True] * 3)
