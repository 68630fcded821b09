"""PyTorch, with TensorBoard's writer: change the import, keep the script.

python with_torch.py
"""

import torch

import stepwell
from stepwell.tensorboard import SummaryWriter

torch.manual_seed(0)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
x = torch.randn(256, 4)
y = x.sum(dim=1, keepdim=True)

with SummaryWriter("examples/torch") as writer:
    for step in range(100):
        loss = (model(x) - y).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        writer.add_scalar("loss", loss, step)
        if step % 50 == 0:
            writer.add_histogram("weights", model.weight, step)
    writer.add_hparams({"lr": 0.05}, {"final_loss": loss.item()})

print(f"loss: {stepwell.open()[writer.id]['loss'].values[-1]:.6f}")
