"""A script for W&B, with another import.

python with_wandb.py
"""

import math

import stepwell.wandb as wandb

with wandb.init(project="examples", name="wandb", config={"lr": 0.1, "net": {"width": 8}}, tags=["tried"]) as run:
    for step in range(100):
        run.log({"loss": math.exp(-wandb.config.lr * step), "eval": {"accuracy": 1 - math.exp(-step / 30)}})
    table = wandb.Table(columns=["step", "note"], data=[[0, "began"], [99, "ended"]])
    run.log({"notes": table})
    run.summary["best"] = 0.97
    model = wandb.Artifact("weights", type="model")
    with model.new_file("weights.txt") as file:
        file.write("0.5 0.25")
    run.log_artifact(model)

for found in wandb.Api().runs("examples", filters={"config.net.width": 8}):
    print(found.name, found.state, found.summary["best"], len(list(found.scan_history())))
