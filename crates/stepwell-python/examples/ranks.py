"""Several processes, as the ranks of a training, log to one run; there is no server between them.

python ranks.py
"""

import multiprocessing

import stepwell

RANKS = 4
STEPS = 100


def train(run, rank):
    # A run that is passed to another process goes on there, by a log of its own.
    loss = run.metric(f"rank{rank}/loss")
    for step in range(STEPS):
        loss.log(step, 1 / (step + 1 + rank))
    run.close()


if __name__ == "__main__":
    ws = stepwell.open()
    with ws.run(experiment="examples", name="ranks", params={"ranks": RANKS}) as run:
        context = multiprocessing.get_context("spawn")
        ranks = [context.Process(target=train, args=(run, rank)) for rank in range(RANKS)]
        for rank in ranks:
            rank.start()
        for rank in ranks:
            rank.join()
    view = ws[run.id]
    print(f"{len(view)} series of {sum(len(series) for _, series in view.items())} points in one run")
