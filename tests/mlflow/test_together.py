"""Two servers and three clients of MLflow on one workspace; one server is killed while they log."""

import signal
import threading

from conftest import Stepwell
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

STEPS = 120


def test_one_of_two_servers_is_killed(tmp_path):
    first, second = Stepwell(tmp_path / "workspace"), Stepwell(tmp_path / "workspace")
    try:
        experiment = MlflowClient(first.uri).create_experiment("together")
        runs = [MlflowClient(second.uri).create_run(experiment, run_name=f"run {number}").info.run_id for number in range(3)]
        shared = MlflowClient(first.uri).create_run(experiment, run_name="shared").info.run_id
        acknowledged, failures = [0, 0, 0], []
        reached, killed = threading.Barrier(4), threading.Event()

        def train(number):
            # The first fails over, the second stays where it is, the third asks both in turn.
            clients = [MlflowClient(uri) for uri in ((first.uri, second.uri), (second.uri,), (first.uri, second.uri))[number]]
            asked = 0

            def send(call):
                nonlocal asked
                while True:
                    client = clients[asked % len(clients)]
                    asked += number == 2
                    try:
                        return call(client)
                    except MlflowException as error:
                        if error.error_code not in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE") or len(clients) == 1:
                            raise
                        # Who has met a dead server asks it no more.
                        clients.remove(client)

            try:
                for step in range(STEPS):
                    if step == STEPS // 3:
                        reached.wait(timeout=120)
                        killed.wait(timeout=120)
                    points = [Metric("loss", 1 / (step + 1), step, step), Metric(f"m{number}", float(step), step, step)]
                    send(lambda client: client.log_batch(runs[number], points[:1], [Param(f"p{step}", str(step))]))
                    send(lambda client: client.log_batch(shared, points[1:]))
                    acknowledged[number] = step + 1
            except Exception as error:  # noqa: BLE001 - told by the test
                failures.append(error)
                reached.abort()

        threads = [threading.Thread(target=train, args=(number,)) for number in range(3)]
        [thread.start() for thread in threads]
        reached.wait(timeout=120)
        first.stop(signal.SIGKILL)
        killed.set()
        [thread.join() for thread in threads]
        assert not failures, failures
        assert acknowledged == [STEPS] * 3
        first.start()
        for server in (first, second):
            client = MlflowClient(server.uri)
            for number, run in enumerate(runs):
                assert [(point.step, point.value) for point in client.get_metric_history(run, "loss")] == [(step, 1 / (step + 1)) for step in range(STEPS)]
                assert client.get_run(run).data.params == {f"p{step}": str(step) for step in range(STEPS)}
                assert [point.step for point in client.get_metric_history(shared, f"m{number}")] == list(range(STEPS))
            assert len(client.search_runs([experiment])) == 4
    finally:
        for server in (first, second):
            if server.process.poll() is None:
                server.stop()
