"""What the recorder's tests share: the offhost binary, and traces as Python sees them."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before diffusers is imported: nothing is fetched

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class Trace:
    """A written trace, taken apart."""

    def __init__(self, path: pathlib.Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        self.lines = [json.loads(line) for line in self.text.splitlines()]

    def all(self, kind: str) -> list[dict]:
        return [line for line in self.lines if line["kind"] == kind]

    @property
    def components(self) -> dict[str, dict]:
        return {line["name"]: line for line in self.all("component")}

    def sizes(self) -> dict[str, int]:
        """Bytes by component, a parent's with those of its blocks."""
        sizes: dict[str, int] = {}
        for line in self.all("component"):
            whole = line.get("parent", line["name"])
            sizes[whole] = sizes.get(whole, 0) + line["bytes"]
        return sizes

    def requests(self) -> list[list[dict]]:
        """The records of each request, without begin and end."""
        requests: list[list[dict]] = []
        for line in self.lines:
            if line["kind"] == "begin":
                requests.append([])
            elif line["kind"] in ("call", "enter", "exit"):
                requests[-1].append(line)
        return requests

    def called(self, request: int = 0) -> list[str]:
        """The whole components that a request calls, in order."""
        names = []
        depth = 0
        for line in self.requests()[request]:
            if depth == 0:
                names.append(line["component"])
            depth += {"enter": 1, "exit": -1, "call": 0}[line["kind"]]
        return names

    def shape(self, request: int = 0) -> str:
        """A request's records as one line of text: a(b c) is a with b and c called inside."""
        out = ""
        for line in self.requests()[request]:
            if line["kind"] == "exit":
                out += ")"
                continue
            if out and not out.endswith("("):
                out += " "
            out += line["component"] + ("(" if line["kind"] == "enter" else "")
        return out

    def workspace(self, name: str, call: int = 0, request: int = 0) -> int:
        """What one call of a component needed."""
        records = [r for r in self.requests()[request] if r["component"] == name and r["kind"] != "exit"]
        return records[call].get("workspace_bytes", self.components[name].get("workspace_bytes", 0))


@pytest.fixture
def trace(tmp_path):
    """Reads the trace that a test wrote to path(), which nothing else may lie beside."""

    def read() -> Trace:
        assert [p.name for p in path.parent.iterdir()] == [path.name]
        return Trace(path)

    path = tmp_path / "traces" / "trace.jsonl"
    path.parent.mkdir()
    read.path = path
    return read


@pytest.fixture(scope="session")
def offhost(tmp_path_factory):
    """Runs the offhost of this tree; check.sh builds it, a bare pytest does so here."""
    binary = os.environ.get("OFFHOST")
    if not binary:
        binary = str(tmp_path_factory.mktemp("bin") / "offhost")
        subprocess.run(["go", "build", "-o", binary, "./cmd/offhost"], cwd=REPOSITORY, check=True)
    elsewhere = tmp_path_factory.mktemp("elsewhere")  # no offhost.yaml lies there

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run([binary, *map(str, arguments)], cwd=elsewhere, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run
