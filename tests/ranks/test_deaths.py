"""One of several processes dies: it is named, nobody is left, and the training goes on."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ranks.compared import (
    check_equal,
)
from tests.ranks.training import Train, new_run, plan_in
from workbench.errors import ExitCode
from workbench.runs import Run


def test_a_rank_that_is_killed_is_named_and_one_process_goes_on(
    train: Train, alone: Run, followers: list[subprocess.Popen[bytes]]
) -> None:
    run = train("killed", nproc=2, at=4, do=lambda run: followers[0].kill())
    assert (run.state(), run.status()["exit_code"]) == ("failed", ExitCode.FAILED)
    assert run.status()["error"].startswith("rank 1 was killed by SIGKILL; run the same command again")
    assert "RANK" not in os.environ
    train("killed", nproc=1)
    check_equal(run, alone)


def test_what_ends_a_rank_alone_is_told(
    train: Train, followers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "if os.environ.get('RANK') == '1':\n"
        "    from workbench.stages import pretrain\n"
        "    def run(*_):\n"
        "        raise MemoryError('no room on this device')\n"
        "    pretrain.run = run\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    run = train("bug", nproc=2)
    assert run.status()["error"].startswith("rank 1 ended: MemoryError: no room on this device;")


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="how to wait for a process of somebody else's")
def test_nobody_is_left_when_the_worker_is_killed(project: Path) -> None:
    shutil.copytree(project / "home" / "store", project / "orphans" / "store")
    run = new_run(plan_in(project, "orphans", **{"pretrain.tokens": 80_000}))
    command = [sys.executable, "-m", "workbench.worker", str(run.path), "--until", "pretrain", "--nproc", "2"]
    with subprocess.Popen(command) as killed:
        assert any(event["kind"] == "metric" for event in run.follow())
        children = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text()
        follower = os.pidfd_open(int(children))
        killed.kill()
    ended = select.poll()
    ended.register(follower, select.POLLIN)
    assert ended.poll(20_000), "the follower lives on"
    os.close(follower)
    assert run.state() == "crashed"
