"""Logs to a tracking server over MLflow's REST API and says what a call takes: batches of 1,000 points, single points, searches.

    python load.py http://127.0.0.1:5000 [--batches 100] [--singles 1000] [--searches 20]

Start one server after the other (`stepwell serve`, `mlflow server --backend-store-uri sqlite:///mlflow.db`) and compare. It uses the
standard library alone, one connection, one call at a time, and checks at the end that every point is there.
"""

import argparse
import http.client
import json
import random
import time
import urllib.parse


class Api:
    """One connection to a server."""

    def __init__(self, uri):
        place = urllib.parse.urlparse(uri)
        self.connection = http.client.HTTPConnection(place.hostname, place.port, timeout=120)

    def send(self, method, path, body):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, "/api/2.0/mlflow" + path, text, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {text[:300]!r}")
        return json.loads(text or b"{}")

    def post(self, path, body):
        return self.send("POST", path, body)


def timed(calls):
    """Milliseconds of each call, median."""
    took = []
    for call in calls:
        start = time.perf_counter()
        call()
        took.append(1e3 * (time.perf_counter() - start))
    return sorted(took)[len(took) // 2]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("uri")
    arguments.add_argument("--batches", type=int, default=100)
    arguments.add_argument("--singles", type=int, default=1000)
    arguments.add_argument("--searches", type=int, default=20)
    given = arguments.parse_args()
    api = Api(given.uri)
    experiment = api.post("/experiments/create", {"name": f"load {random.random()}"})["experiment_id"]
    run = api.post("/runs/create", {"experiment_id": experiment, "start_time": 1})["run"]["info"]["run_id"]

    def batch(number):
        points = [
            {"key": f"m{at % 10}", "value": random.random(), "timestamp": 1000 + number, "step": number * 100 + at // 10}
            for at in range(1000)
        ]
        return json.dumps({"run_id": run, "metrics": points}).encode()

    bodies = [batch(number) for number in range(given.batches)]
    batches = timed([lambda body=body: api.post("/runs/log-batch", body) for body in bodies])
    single = lambda at: {"run_id": run, "key": "single", "value": at, "timestamp": at, "step": at}
    singles = timed([lambda at=at: api.post("/runs/log-metric", single(at)) for at in range(given.singles)])
    query = {"experiment_ids": [experiment], "filter": "metrics.single > 0"}
    searches = timed([lambda: api.post("/runs/search", query) for _ in range(given.searches)])
    history = api.send("GET", f"/metrics/get-history?run_id={run}&metric_key=single", b"")
    assert len(history["metrics"]) == given.singles, "every point is there"
    print(f"{given.uri}: batch of 1,000 {batches:.2f} ms, single {singles:.3f} ms, search {searches:.2f} ms (medians)")


if __name__ == "__main__":
    main()
