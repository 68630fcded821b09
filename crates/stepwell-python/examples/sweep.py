"""A sweep over a grid: a run for each of its points, in several processes, and the best of them by a search.

python sweep.py
"""

import itertools
import multiprocessing

import stepwell


def train(settings):
    rate, momentum = settings
    with stepwell.open().run(experiment="examples", name="sweep", params={"lr": rate, "momentum": momentum}) as run:
        loss = run.metric("loss")
        weight, speed = 5.0, 0.0
        for step in range(50):
            speed = momentum * speed - rate * 2 * weight
            weight += speed
            loss.log(step, weight * weight)


if __name__ == "__main__":
    stepwell.open()
    grid = list(itertools.product([0.01, 0.1, 0.9], [0.0, 0.5]))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(train, grid)
    best = stepwell.open().search("run_name = 'sweep'", order_by=["metrics.loss"], experiments=["examples"], limit=3)
    for row in best:
        print(f"lr={row['params.lr']} momentum={row['params.momentum']}: {row['metrics.loss']:.3g}")
