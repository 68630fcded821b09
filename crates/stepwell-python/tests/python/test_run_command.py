"""`stepwell run`: what it keeps of a command, how its loggers join the run, how it ends."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import stepwell

VARIABLES = ("STEPWELL_", "MLFLOW_", "PYTHONUNBUFFERED")


def environment(**more):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(VARIABLES)}
    return {**kept, **more}


@pytest.fixture
def begin(folder, tmp_path):
    """Starts `stepwell run` on a command, in a folder of its own."""
    here = tmp_path / "here"
    here.mkdir()

    def begin(*command, options=(), **more):
        words = [sys.executable, "-m", "stepwell", "-w", folder, "run", *options, "--", *map(str, command)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": here}
        env = environment(**more.pop("env", {}))
        return subprocess.Popen(words, env=env, **{**pipes, **more})

    return begin


@pytest.fixture
def run(begin):
    """Runs a command to its end; gives what it said and its status."""

    def run(*command, **options):
        process = begin(*command, **options)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    return run


def only(folder):
    ws = stepwell.open(folder, create=False)
    (row,) = ws.search().rows()
    return ws[row["run_id"]]


def kept(folder, name):
    return (only(folder).artifact_folder / "run" / name).read_text()


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_output_and_status_are_the_commands(run, folder):
    status, out, err = run(
        sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)", options=["--name", "n"]
    )
    assert (status, out) == (7, "out\n") and "err\n" in err
    view = only(folder)
    assert (view.status, view.name, view.tags["stepwell.exit"]) == ("FAILED", "n", "7")
    assert view.end_time_ms is not None and view.tags["mlflow.source.type"] == "LOCAL"
    assert kept(folder, "stdout.log") == "out\n" and kept(folder, "stderr.log") == "err\n"
    command = json.loads(kept(folder, "command.json"))
    assert command["command"][0] == sys.executable and command["exit"] == "7" and command["ended_ms"]


def test_bytes_pass_unchanged(run, folder):
    text = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 5000)"
    process = subprocess.run(
        [sys.executable, "-m", "stepwell", "-w", folder, "run", "--", sys.executable, "-c", text],
        capture_output=True, timeout=60, env=environment(),
    )
    assert process.stdout == bytes(range(256)) * 5000
    assert (only(folder).artifact_folder / "run" / "stdout.log").read_bytes() == process.stdout


def test_loggers_join_the_run(run, folder):
    text = """
import os, stepwell
ws = stepwell.open()
with ws.run(params={"lr": 0.1}) as run:
    run.log({"loss": 1.0}, step=0)
assert run.id == os.environ["STEPWELL_RUN_ID"] and ws[run.id].status == "RUNNING"
assert ws.run().id != run.id                      # one run, and then others
"""
    status, _, err = run(sys.executable, "-c", text, options=["--experiment", "vision", "--param", "size=3", "--tag", "a=b"])
    assert status == 0, err
    ws = stepwell.open(folder)
    views = [ws[row["run_id"]] for row in ws.search()]
    (joined,) = [view for view in views if "loss" in view]
    assert len(views) == 2 and joined.experiment == "vision" and joined.status == "FINISHED"
    assert joined.params == {"lr": "0.1", "size": "3"} and joined.tags["a"] == "b"


def test_each_rank_joins_and_none_ends_the_run(run, folder):
    text = """
import multiprocessing, stepwell

def work(rank):
    with stepwell.open().run() as run:
        run.log({f"loss/{rank}": rank}, step=0)

if __name__ == "__main__":
    ranks = [multiprocessing.get_context("spawn").Process(target=work, args=(rank,)) for rank in range(2)]
    [rank.start() for rank in ranks]; [rank.join() for rank in ranks]
    assert stepwell.open().search()["status"][0] == "RUNNING"
"""
    script = Path(folder).parent / "ranks.py"
    script.write_text(text)
    status, _, err = run(sys.executable, script)
    assert status == 0, err
    assert sorted(only(folder).keys()) == ["loss/0", "loss/1"] and only(folder).status == "FINISHED"


def test_mlflow_joins_the_run(run, folder):
    pytest.importorskip("mlflow")
    text = """
import mlflow, os
run_id = os.environ["MLFLOW_RUN_ID"]
with mlflow.start_run() as run:
    mlflow.log_metric("alpha", 0.03)
    mlflow.log_param("p", 1)
assert run.info.run_id == run_id
"""
    status, _, err = run(sys.executable, "-c", text, options=["--experiment", "vision"])
    assert status == 0, err
    view = only(folder)
    assert view.latest == {"alpha": 0.03} and view.params == {"p": "1"} and view.status == "FINISHED"


def test_an_experiment_of_another_name_is_told(run, folder):
    text = "import stepwell; stepwell.open().run(experiment='b').log({'x': 1})"
    status, _, err = run(sys.executable, "-c", text, options=["--experiment", "a"])
    assert status == 0 and "LoggingWarning" in err and only(folder).experiment == "a"


@pytest.mark.parametrize(
    "code, status, ended",
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, "KILLED"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, "KILLED"),
        ("import os; os.abort()", -signal.SIGABRT, "FAILED"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KILLED"),
        ("import sys; sys.exit(143)", 143, "KILLED"),
        ("1 / 0", 1, "FAILED"),
        ("import stepwell; stepwell.open().run().finish('FAILED')", 0, "FAILED"),
    ],
)
def test_a_command_ends_as_it_does_alone(run, folder, code, status, ended):
    assert run(sys.executable, "-c", code)[0] == status
    assert only(folder).status == ended


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_signals_go_to_the_command(begin, folder, number):
    text = """
import signal, sys, time
def handler(number, frame):
    print("got", int(number), flush=True)
    sys.exit(5)
for one in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
    signal.signal(one, handler)
print("ready", flush=True)
time.sleep(60)
"""
    process = begin(sys.executable, "-c", text)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == (f"got {int(number)}\n", 5)


def test_output_is_kept_while_it_grows(begin, folder):
    text = "import time\nfor at in range(3):\n    print(at)\n    input()\n"
    process = begin(sys.executable, "-c", text, stdin=subprocess.PIPE)
    for at in range(3):
        lines = [f"{line}\n" for line in range(at + 1)]
        wait_for(lambda: stepwell.open(folder).search().rows())
        path = only(folder).artifact_folder / "run" / "stdout.log"
        wait_for(lambda: path.exists() and path.read_text() == "".join(lines))
        assert only(folder).status == "RUNNING"
        process.stdin.write("\n")
        process.stdin.flush()
    assert process.wait(60) == 0


def test_a_terminal_stays_a_terminal(folder):
    ours, theirs = pty.openpty()
    text = "import sys; print(sys.stdout.isatty(), sys.stderr.isatty())"
    words = [sys.executable, "-m", "stepwell", "-w", folder, "run", "--", sys.executable, "-c", text]
    process = subprocess.Popen(words, stdout=theirs, stderr=subprocess.PIPE, env=environment())
    os.close(theirs)
    assert process.wait(60) == 0, process.stderr.read()
    assert os.read(ours, 100) == b"True False\r\n"
    assert kept(folder, "stdout.log") == "True False\n"


def test_a_daemon_that_the_command_leaves_does_not_keep_it(run, folder):
    began = time.monotonic()
    status, out, err = run("sh", "-c", "(sleep 30; echo late) & echo now")
    assert (status, out) == (0, "now\n") and time.monotonic() - began < 20
    assert "left behind" in err and kept(folder, "stdout.log") == "now\n"


def test_what_cannot_be_kept_ends_no_training(begin, folder):
    process = begin(sys.executable, "-c", "input(); print('after')", stdin=subprocess.PIPE)
    wait_for(lambda: stepwell.open(folder).search().rows())
    path = only(folder).artifact_folder / "run" / "stdout.log"
    wait_for(path.exists)
    # A file of no more than its bytes so far, as on a full disk.
    import resource

    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))
    process.stdin.write("\n")
    process.stdin.flush()
    out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("after\n", 0) and "stdout.log lacks 6 bytes" in err


def test_what_is_not_run(run, folder):
    assert run("no-such-program")[0] == 127
    plain = Path(folder).parent / "plain"
    plain.write_text("no program")
    plain.chmod(0o755)
    assert run(plain)[0] == 126
    assert not Path(folder).exists() or [row["status"] for row in stepwell.open(folder).search()] == ["FAILED"]


def test_sources_and_packages_are_kept_and_no_secrets(folder, tmp_path):
    here = tmp_path / "code"
    here.mkdir()
    (here / "train.py").write_text("print(1)\n")

    def git(*words):
        identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *words], cwd=here, check=True, capture_output=True)

    git("init", "-q", "-b", "trunk")
    git("remote", "add", "origin", "https://me:hunter2@host/repo.git")
    git("add", "-A")
    git("commit", "-qm", "one")
    (here / "train.py").write_text("print(2)\n")
    (here / "new.py").write_text("")
    words = [sys.executable, "-m", "stepwell", "-w", folder, "run", "--", sys.executable, "train.py", "--api-key", "hunter2",
             "--token=hunter2", "http://me:hunter2@host/x"]
    env = environment(WANDB_API_KEY="hunter2", RANK="0")
    done = subprocess.run(words, cwd=here, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    view = only(folder)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True).stdout.strip()
    assert view.tags["mlflow.source.git.commit"] == commit and view.tags["mlflow.source.git.branch"] == "trunk"
    assert view.tags["mlflow.source.name"] == "train.py"
    assert "+print(2)" in kept(folder, "diff.patch")
    command = json.loads(kept(folder, "command.json"))
    assert command["git"]["untracked"] == ["new.py"] and command["hidden_secrets"] == 3
    about = json.loads(kept(folder, "environment.json"))
    assert about["python"]["version"] == ".".join(map(str, sys.version_info[:3])) and about["variables"]["RANK"] == "0"
    assert any(line.startswith("pytest==") for line in kept(folder, "packages.txt").splitlines())
    # Nowhere in the workspace.
    for path in Path(folder).rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes(), path


def test_a_diff_can_be_left_out(folder, tmp_path):
    words = [sys.executable, "-m", "stepwell", "-w", folder, "run", "--no-diff", "--", "true"]
    assert subprocess.run(words, cwd=Path(__file__).parent, env=environment(), capture_output=True).returncode == 0
    assert not (only(folder).artifact_folder / "run" / "diff.patch").exists()
