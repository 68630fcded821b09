"""Hugging Face's Trainer with a callback, on a tiny model with random weights.

python with_huggingface.py
"""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import stepwell
from stepwell.huggingface import StepwellCallback


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, at):
        return {"input_ids": torch.tensor([at % 30 + 1, 2, 3]), "labels": torch.tensor(at % 2)}


torch.manual_seed(0)
config = BertConfig(vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
callback = StepwellCallback(experiment="examples", name="huggingface")
trainer = Trainer(
    model=BertForSequenceClassification(config),
    args=TrainingArguments(
        "out", num_train_epochs=2, logging_steps=4, save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True
    ),
    train_dataset=Numbers(),
    callbacks=[callback],
)
trainer.train()

print(f"loss: {stepwell.open()[callback.id]['train/loss'].values[-1]:.4f}")
