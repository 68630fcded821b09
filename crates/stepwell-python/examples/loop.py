"""A training loop by hand: a handle for the loss, a dict for the rest, and a search.

python loop.py
"""

import random

import stepwell

ws = stepwell.open()
random.seed(0)
with ws.run(experiment="examples", name="loop", params={"lr": 0.1, "steps": 200}) as run:
    loss = run.metric("loss")
    weight = 5.0
    for step in range(200):
        gradient = 2 * weight + random.gauss(0, 0.1)
        weight -= 0.1 * gradient
        loss.log(step, weight * weight)
        if step % 50 == 0:
            run.log({"weight": weight, "gradient": abs(gradient)}, step=step)
    run.text("report", f"The weight is {weight:.4f}.")

best = ws.search("metrics.loss.min < 0.01", order_by=["metrics.loss.min"], experiments=["examples"])
print(f"{len(best)} runs came below 0.01; the last loss is {run['loss'].values[-1]:.2g}")
