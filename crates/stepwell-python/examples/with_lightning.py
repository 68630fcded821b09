"""Lightning with a logger.

python with_lightning.py
"""

import lightning.pytorch as pl
import torch

import stepwell
from stepwell.lightning import StepwellLogger


class Model(pl.LightningModule):
    def __init__(self, lr=0.05):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, _):
        x, y = batch
        loss = (self.layer(x) - y).pow(2).mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


torch.manual_seed(0)
x = torch.randn(256, 4)
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(dim=1, keepdim=True)), batch_size=32)
# `all_ranks=True` has each process of a distributed training log to the one run.
logger = StepwellLogger(experiment="examples", name="lightning")
trainer = pl.Trainer(
    max_epochs=3,
    logger=logger,
    log_every_n_steps=1,
    accelerator="cpu",
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Model(), data)

print(f"loss: {stepwell.open()[logger.version]['loss'].values[-1]:.4f}")
