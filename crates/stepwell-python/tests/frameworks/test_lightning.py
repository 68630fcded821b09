"""The logger in Lightning: fit, test, failures, and several ranks in one run."""

import sys

import pytest
from conftest import framework

MODEL = """
import sys
import {package} as pl
import torch
import stepwell
from stepwell.lightning import StepwellLogger

class Model(pl.LightningModule):
    def __init__(self, lr=0.1, fails=False):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        if self.hparams.fails and index == 2:
            raise RuntimeError("on purpose")
        loss = self.layer(batch[0]).pow(2).mean()
        self.log("loss", loss)
        self.log("rank", float(self.global_rank))
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.layer(batch[0]).pow(2).mean())

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)

def data():
    torch.manual_seed(0)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(32, 4)), batch_size=4)

def trainer(logger, **more):
    return pl.Trainer(logger=logger, max_epochs=2, log_every_n_steps=1, enable_progress_bar=False,
                      enable_model_summary=False, accelerator="cpu", **more)
"""


def source(package, rest):
    return MODEL.format(package=package) + rest


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_a_training_is_logged(ws, script, package):
    framework(package)
    script(
        source(
            package,
            """
logger = StepwellLogger(experiment="vision", name="first", checkpoints=True)
model = Model()
one = trainer(logger)
one.fit(model, data(), data())
assert stepwell.open()[logger.version].status == "FINISHED"
one.test(model, data())
""",
        )
    )
    (row,) = ws.search(experiments=["vision"]).rows()
    view = ws[row["run_id"]]
    assert view.status == "FINISHED" and view.name == "first"
    assert list(view["loss"].steps) == list(range(16))
    assert {0.0, 1.0} <= set(view["epoch"].values)
    assert len(view["val_loss"]) == 3
    assert view.params == {"lr": "0.1", "fails": "False"}
    assert list((view.artifact_folder / "checkpoints").glob("*.ckpt"))


def test_a_training_that_fails_says_so(ws, script):
    framework("lightning")
    script(
        source(
            "lightning.pytorch",
            """
logger = StepwellLogger(experiment="vision")
try:
    trainer(logger, enable_checkpointing=False).fit(Model(fails=True), data())
except RuntimeError:
    pass
""",
        )
    )
    (row,) = ws.search(experiments=["vision"]).rows()
    assert row["status"] == "FAILED"


@pytest.mark.parametrize("all_ranks", [False, True])
def test_ranks_log_to_one_run(ws, script, tmp_path, all_ranks):
    framework("lightning")
    file = tmp_path / "ranks.py"
    file.write_text(
        source(
            "lightning.pytorch",
            f"""
if __name__ == "__main__":
    logger = StepwellLogger(experiment="ranks", all_ranks={all_ranks})
    trainer(logger, devices=2, strategy="ddp", enable_checkpointing=False).fit(Model(), data())
    logger.experiment.set_tag("said", "rank 0")
""",
        )
    )
    script(file)
    (row,) = ws.search(experiments=["ranks"]).rows()
    view = ws[row["run_id"]]
    assert view.status == "FINISHED" and view.tags["said"] == "rank 0"
    assert set(view["rank"].values) == {0.0} and len(view["rank"]) == 8
    if all_ranks:
        assert set(view["rank1/rank"].values) == {1.0} and len(view["rank1/rank"]) == 8
    else:
        assert not [key for key in view.keys() if key.startswith("rank1")]


def test_spawned_processes_go_on_with_the_run(ws, script, tmp_path):
    framework("lightning")
    file = tmp_path / "spawn.py"
    file.write_text(
        source(
            "lightning.pytorch",
            """
if __name__ == "__main__":
    logger = StepwellLogger(experiment="spawn", all_ranks=True)
    logger.log_hyperparams({"outer": {"inner": [1, 2]}})
    trainer(logger, devices=2, strategy="ddp_spawn", enable_checkpointing=False).fit(Model(), data())
""",
        )
    )
    script(file)
    (row,) = ws.search(experiments=["spawn"]).rows()
    view = ws[row["run_id"]]
    assert len(view["rank"]) == 8 and len(view["rank1/rank"]) == 8
    assert view.params["outer/inner"] == "[1, 2]"


def test_pictures_and_bad_input(ws, folder):
    framework("lightning")
    import numpy as np

    import stepwell
    from stepwell.lightning import StepwellLogger

    logger = StepwellLogger(folder, experiment="e")
    logger.log_image("seen", [np.zeros((2, 3, 3)), np.ones((2, 3))], step=4, caption=["a", "b"])
    logger.log_table("rows", columns=["a"], data=[[1]], step=4)
    with pytest.warns(stepwell.LoggingWarning, match="log_graph"):
        logger.log_graph(None)
    with pytest.warns(stepwell.LoggingWarning, match="training goes on"):
        logger.log_metrics({"a": "text"}, step=0)
    with pytest.warns(stepwell.LoggingWarning, match="log_hyperparams"):
        logger.log_hyperparams(5)
    names = sorted(path.name for path in logger.experiment.artifact_folder.rglob("*") if path.is_file())
    assert names == ["4-2.json", "4-2.png", "4.json", "4.json", "4.png"]
    logger.finalize("success")
    assert ws[logger.id].status == "FINISHED" and "stepwell.lightning" in sys.modules
