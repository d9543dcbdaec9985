"""Metrics of servers in processes of their own, checked with Prometheus's tool, and their documentation."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.functional.launched import PATIENCE, freePort, launched, until
from tests.functional.support import ROOT
from tests.requires import requires

TOKEN = "0123456789abcdef" * 2
PAGE = ROOT / "docs" / "howto" / "monitoring.rst"
EXAMPLES = ROOT / "docs" / "examples" / "monitoring"


def scrape(port: int, path: str = "/metrics") -> str:
    """Ask for a page with the secret."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    request.add_header("Authorization", f"Bearer {TOKEN}")
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
        return text


def checked(text: str) -> None:
    """Let promtool check metrics."""
    tool = [requires("promtool"), "check", "metrics"]
    found = subprocess.run(tool, input=text, capture_output=True, text=True, timeout=PATIENCE)
    # It has to say something about metrics of other libraries.
    problems = [line for line in found.stderr.splitlines() if line.startswith("txroom_")]
    assert not problems
    assert found.returncode in (0, 3), found.stderr


def serving(tmp_path: Path, *options: str) -> Any:
    """The demo, with an admin listener."""
    (tmp_path / "secret").write_text(TOKEN)
    return launched(("twistd", "-n"), *options, "--admin-token-file", str(tmp_path / "secret"), cwd=tmp_path)


def test_workers(tmp_path: Path) -> None:
    """Whichever worker answers, the metrics are those of all; promtool accepts them."""
    requires("redis-server")
    port = freePort()
    with serving(tmp_path, "--admin", str(port), "--workers", "2") as server:
        server.ready()
        with ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(server.connect("/rooms/chat")).send('["send",null,"say","hello"]')
            observed(port)


def observed(port: int) -> None:
    """The metrics of eight clients of two workers."""

    def connections() -> dict[str, float]:
        found = re.findall(r'^txroom_connections\{worker="(\d)"\} (\S+)$', scrape(port), re.MULTILINE)
        return {worker: float(value) for worker, value in found}

    until(lambda: sum(connections().values()) == 8, "not all connections are counted")
    # At the start the workers have to find one another. Each scrape may be answered by another one.
    until(lambda: all(set(connections()) == {"1", "2"} for _ in range(8)), "a worker is missing")
    text = scrape(port)
    checked(text)
    for line in text.splitlines():
        assert line.startswith(("#", "txroom_workers_unanswered ")) or 'worker="' in line, line
    assert "txroom_workers_unanswered 0.0" in text
    assert re.search(r'txroom_redis_up\{worker="1"\} 1\.0', text)
    assert re.search(r'process_cpu_seconds_total\{worker="2"\}', text)
    handled = re.findall(r'txroom_handler_seconds_count\{room="chat",type="say",worker="\d"\} (\S+)', text)
    assert sum(map(float, handled)) == 8
    assert json.loads(scrape(port, "/readyz"))["status"] == "ok"
    named(text)


def named(text: str) -> None:
    """The dashboard, the alerts and the page name metrics that exist."""
    exist = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    for file in (EXAMPLES / "dashboard.json", EXAMPLES / "alerts.yml"):
        used = re.findall(r"\b(?:txroom|process)_[a-z_]+\b", file.read_text())
        assert {re.sub("_(bucket|sum|count)$", "", name) for name in used} - exist == set(), file
    described = set(re.findall(r"``(txroom_[a-z_]+)", PAGE.read_text()))
    assert described == {name for name in exist if name.startswith("txroom_")}


def test_rules(tmp_path: Path) -> None:
    """promtool accepts the alert rules, the configuration, and the expressions of the dashboard."""
    tool = requires("promtool")
    dashboard = json.loads((EXAMPLES / "dashboard.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    rules = [
        {"record": f"panel:{index}", "expr": target["expr"].replace("$__rate_interval", "5m")}
        for index, target in enumerate(targets)
    ]
    assert len(rules) > 20
    panels = tmp_path / "panels.yml"
    panels.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    for file in (EXAMPLES / "alerts.yml", panels):
        subprocess.run([tool, "check", "rules", str(file)], check=True, capture_output=True, timeout=PATIENCE)
    check = [tool, "check", "config", "--syntax-only", str(EXAMPLES / "prometheus.yml")]
    subprocess.run(check, check=True, capture_output=True, timeout=PATIENCE)


def test_curl(tmp_path: Path) -> None:
    """The commands of the page work as they are written."""
    requires("curl")
    found = re.findall(r"^   \$ (\(umask.*|curl.*)$", PAGE.read_text(), re.MULTILINE)
    assert len(found) == 5
    port = freePort()
    with serving(tmp_path, "--admin", str(port)) as server:
        server.ready()
        script = "\n".join(["set -eu", 'curl() { command curl -sS --max-time 10 "$@"; echo; }', *found])
        script = script.replace("127.0.0.1:9000", f"127.0.0.1:{port}")
        told = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "TXROOM_ADMIN_READ_TOKEN": TOKEN},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        ).stdout
        assert "# TYPE txroom_connections gauge" in told
        assert "worker" not in told
        assert told.endswith('ok\n\nok\n\n{"status": "ok"}\n'), told[-80:]


def test_jsonLog(tmp_path: Path) -> None:
    """Lines of workers and of their parent are JSON; a secret in a query is in none of them."""
    requires("redis-server")
    options = ("--workers", "2", "--log-format", "json", "--access-log")
    with launched(("twistd", "-n"), *options, cwd=tmp_path) as server:
        server.ready()
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        headers = {"traceparent": trace}
        with server.connect("/rooms/chat?token=hunter2", additional_headers=headers) as client:
            client.recv()
            server.wrote('"event": "join"')
        server.wrote('"event": "leave"')
        server.wrote('"status": 101')
        found = server.output.splitlines()
    begin = next(index for index, line in enumerate(found) if line.startswith("{"))
    assert begin <= 6, found[:begin]
    lines = [json.loads(line) for line in found[begin:]]
    assert "hunter2" not in server.output
    joins = [line for line in lines if line.get("event") == "join"]
    assert len(joins) == 1
    assert {"room", "member", "connection", "worker"} <= joins[0].keys()
    (upgrade,) = [line for line in lines if line.get("status") == 101]
    assert (upgrade["path"], upgrade["worker"]) == ("/rooms/chat", joins[0]["worker"])
