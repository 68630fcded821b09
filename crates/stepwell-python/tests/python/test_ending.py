"""How runs end: with their block, with the process, by exceptions and signals, and not by children."""

import os
import signal
import subprocess
import sys
import time

import pytest

import stepwell


def only(ws):
    (run,) = ws.search().rows()
    return ws[run["run_id"]]


@pytest.mark.parametrize(
    "error, status",
    [(None, "FINISHED"), (ValueError(), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(0), "FINISHED"),
     (SystemExit(2), "FAILED")],
    ids=repr,
)
def test_a_block_ends_its_run(ws, error, status):
    try:
        with ws.run() as run:
            run.log("a", 1.0, 0)
            if error is not None:
                raise error
    except BaseException as caught:
        assert caught is error
    view = ws[run.id]
    assert view.status == status and view.end_time_ms is not None


@pytest.mark.parametrize(
    "end, status",
    [
        ("", "FINISHED"),
        ("raise ValueError('x')", "FAILED"),
        ("raise KeyboardInterrupt", "KILLED"),
        ("run.finish('KILLED')", "KILLED"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM); import time; time.sleep(60)", "KILLED"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(60)", "KILLED"),
        ("import os; os._exit(0)", "RUNNING"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "RUNNING"),
    ],
)
def test_the_process_ends_its_runs(script, ws, end, status):
    script(f"run = ws.run()\nrun.log('a', 1.5, 0)\n{end}", check=False)
    view = only(ws)
    assert view.status == status and list(view["a"].values) == [1.5]


def test_sigterm_ends_the_process_as_before(script):
    done = script("import os, signal, time; run = ws.run(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", check=False)
    assert done.returncode == -signal.SIGTERM


def test_a_handler_that_was_there_is_called(script, ws):
    done = script(
        """
        import os, signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (print("mine"), sys.exit(3)))
        run = ws.run()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        """,
        check=False,
    )
    assert done.returncode == 3 and "mine" in done.stdout and only(ws).status == "KILLED"


def test_a_signal_that_is_ignored_stays_ignored(script, ws):
    script(
        """
        import os, signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        run = ws.run()
        os.kill(os.getpid(), signal.SIGTERM)
        run.log("a", 1.0, 0)
        """
    )
    assert only(ws).status == "FINISHED"


def test_a_forked_child_logs_and_does_not_end_the_run(script, ws):
    script(
        """
        import os, threading
        run = ws.run(strict=True)
        loss = run.metric("loss")
        loss.log(0, 0.0)
        stop = threading.Event()
        def busy():
            at = 0
            while not stop.is_set():
                run.log("busy", at, at)
                at += 1
        thread = threading.Thread(target=busy); thread.start()
        children = []
        for child in range(1, 6):
            pid = os.fork()
            if pid == 0:
                for step in range(100):
                    loss.log(child * 1000 + step, 1.0)
                run.log({"child": child}, step=child)
                import sys
                sys.exit(0)
            children.append(pid)
        for pid in children:
            assert os.waitpid(pid, 0)[1] == 0
        stop.set(); thread.join()
        assert ws[run.id].status == "RUNNING"
        loss.log(1, 0.5)
        """
    )
    view = only(ws)
    assert view.status == "FINISHED" and len(view["loss"]) == 502
    assert list(view["child"].values) == [1.0, 2.0, 3.0, 4.0, 5.0]
    busy = list(view["busy"].steps)
    assert busy == list(range(len(busy)))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_write_one_run(folder, ws, tmp_path, method):
    text = f"""
import multiprocessing, stepwell

def work(run, rank):
    for step in range(200):
        run.log({{f"loss/{{rank}}": step * rank}}, step=step)

if __name__ == "__main__":
    multiprocessing.set_start_method({method!r})
    run = stepwell.open({folder!r}).run(strict=True)
    workers = [multiprocessing.Process(target=work, args=(run, rank)) for rank in range(3)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    assert all(worker.exitcode == 0 for worker in workers)
    assert run.view().status == "RUNNING"
"""
    path = tmp_path / "ranks.py"
    path.write_text(text)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    view = only(ws)
    assert view.status == "FINISHED"
    for rank in range(3):
        assert list(view[f"loss/{rank}"].values) == [float(step * rank) for step in range(200)]


def test_threads_share_a_run(ws):
    import threading

    with ws.run(strict=True) as run:
        def work(rank):
            own = run.metric(f"own/{rank}")
            for step in range(5_000):
                own.log(step, rank)
                if step % 100 == 0:
                    run.log({"shared": step, f"more/{rank}": step}, step=step)
            run.sync()

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    view = ws[run.id]
    assert all(list(view[f"own/{rank}"].steps) == list(range(5_000)) for rank in range(4))
    assert len(view["shared"]) == 200


FORMS = {
    "handle": "run_loss.log(at, at)",
    "key": "run.log('loss', at, at)",
    "dict": "run.log({'loss': at, 'other': at}, step=at)",
    "columns": "run.columns('loss', [at], [at])",
}


@pytest.mark.parametrize("form", FORMS)
def test_what_was_logged_survives_kill(ws, folder, form):
    """Each number that the child has told was logged before; it is there after SIGKILL, once."""
    text = f"""
import stepwell, sys
run = stepwell.open({folder!r}).run(strict=True)
run_loss = run.metric("loss")
print(run.id, flush=True)
at = 0
while True:
    {FORMS[form]}
    at += 1
    if at % 50 == 0:
        sys.stdout.write(f"{{at}}\\n"); sys.stdout.flush()
"""
    for wait in (0.05, 0.2, 0.41):
        child = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
        run_id = child.stdout.readline().strip()
        time.sleep(wait)
        os.kill(child.pid, signal.SIGKILL)
        told = [int(line) for line in child.stdout.read().split("\n")[:-1]]
        child.wait()
        steps = list(ws[run_id]["loss"].steps)
        assert steps == list(range(len(steps))) and len(steps) >= (told[-1] if told else 0)
    assert ws.verify() == []


def test_a_run_is_resumed(ws):
    with ws.run(name="one", params={"a": 1}, strict=True) as run:
        run.log("loss", 1.0, 5)
    again = ws.run(resume=run.id, params={"a": 1, "b": 2}, tags={"t": 1}, strict=True)
    view = again.view()
    assert again.id == run.id and view.status == "RUNNING" and view.end_time_ms is None and view.name == "one"
    again.log({"loss": 2.0})
    again.finish()
    view = ws[run.id]
    assert list(view["loss"].steps) == [5, 6] and view.params == {"a": "1", "b": "2"}
    with pytest.raises(stepwell.NotFoundError):
        ws.run(resume="0" * 32)
    with pytest.raises(NotImplementedError, match="format 1"):
        ws.run(fork_from=run.id)


def test_runs_that_nobody_holds_end_with_the_process(script, ws):
    script(
        """
        import threading
        for at in range(3):
            run = ws.run()
            run.log("a", at, 0)
        metric = ws.run().metric("b")
        metric.log(0, 1.0)
        buffer = ws.run().device_buffer(["c"], every=10)
        [buffer.put(step, step) for step in range(15)]
        thread = threading.Thread(target=lambda: ws.run(name="thread"))
        thread.start(); thread.join()
        """
    )
    table = ws.search()
    assert list(table["status"]) == ["FINISHED"] * 6
    assert sorted(len(ws[run]["c"]) for run in table["run_id"] if "c" in ws[run]) == [15]


def test_sigterm_is_taken_although_a_thread_began_the_first_run(script, ws):
    script(
        """
        import os, signal, threading, time
        held = []
        thread = threading.Thread(target=lambda: held.append(ws.run())); thread.start(); thread.join()
        run = ws.run()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        """,
        check=False,
    )
    assert list(ws.search()["status"]) == ["KILLED"] * 2


def test_a_module_that_is_loaded_anew_forks(script):
    script(
        """
        import importlib, os, stepwell._ending
        run = ws.run()
        importlib.reload(stepwell._ending)
        pid = os.fork()
        if pid == 0:
            run.log("a", 1.0, 0)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        run.log("a", 2.0, 1)
        """
    )


def test_copies_of_runs_and_workspaces(ws, folder):
    import copy
    import pickle

    run = ws.run()
    assert copy.copy(run) is run and copy.deepcopy([run])[0] is run
    run.finish()
    with pytest.raises(stepwell.EndedError):
        pickle.dumps(run)
    assert ws[run.id].status == "FINISHED"
    reader = pickle.loads(pickle.dumps(stepwell.open(folder, read_only=True)))
    with pytest.raises(stepwell.StepwellError):
        reader.run()
    with pytest.raises(stepwell.InvalidError, match="RUNNING"):
        ws.run().finish("RUNNING")
    before = len(ws.search())
    with pytest.raises(ValueError):
        ws.run(system_metrics=-1)
    assert len(ws.search()) == before and "a b" not in ws


@pytest.mark.parametrize(
    "end, code, status",
    [
        ("sys.exit(3)", 3, "FAILED"),
        ("sys.exit('why')", 1, "FAILED"),
        ("raise SystemExit(4)", 4, "FAILED"),
        ("sys.exit(0)", 0, "FINISHED"),
        ("sys.exit()", 0, "FINISHED"),
        ("exit(5)", 5, "FAILED"),
    ],
)
def test_the_exit_status_of_the_process_is_that_of_its_runs(script, ws, end, code, status):
    done = script(f"import sys\nrun = ws.run()\nrun.log('a', 1.5, 0)\n{end}", check=False)
    assert done.returncode == code
    view = only(ws)
    assert view.status == status and list(view["a"].values) == [1.5] and view.end_time_ms is not None


def test_runs_that_ended_before_keep_their_status(script, ws):
    script("import sys\nws.run().finish()\nwith ws.run(): pass\nsys.exit(3)", check=False)
    assert list(ws.search()["status"]) == ["FINISHED"] * 2


def test_a_forked_child_that_exits_so_ends_no_run_of_its_parent(script, ws):
    script(
        """
        import os, sys
        run = ws.run()
        pid = os.fork()
        if pid == 0:
            sys.exit(3)
        os.waitpid(pid, 0)
        """
    )
    assert only(ws).status == "FINISHED"
