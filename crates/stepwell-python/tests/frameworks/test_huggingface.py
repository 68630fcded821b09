"""The callback in Hugging Face's Trainer, on a tiny model with random weights."""

import pytest
from conftest import framework

TRAIN = """
import torch, stepwell
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from stepwell.huggingface import StepwellCallback

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 16
    def __getitem__(self, at):
        return {{"input_ids": torch.tensor([at + 1, 2, 3]), "labels": torch.tensor(at % 2)}}

model = BertForSequenceClassification(BertConfig(
    vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16))
arguments = TrainingArguments("out", max_steps=6, logging_steps=2, eval_strategy="steps", eval_steps=3, save_steps=3,
                              report_to=[], per_device_train_batch_size=4, use_cpu=True, disable_tqdm=True,
                              run_name="tiny")
callback = StepwellCallback(experiment="nlp", {options})
trainer = Trainer(model=model, args=arguments, train_dataset=Data(), eval_dataset=Data(), callbacks=[callback])
trainer.train()
assert stepwell.open()[callback.id].status == "FINISHED"
{rest}
"""


def test_a_training_is_logged(ws, script):
    framework("transformers")
    framework("accelerate")
    script(TRAIN.format(options="checkpoints=True", rest="trainer.evaluate()\ntrainer.predict(Data())"))
    (row,) = ws.search(experiments=["nlp"]).rows()
    view = ws[row["run_id"]]
    assert view.status == "FINISHED" and view.name == "tiny"
    assert list(view["train/loss"].steps) == [2, 4, 6]
    assert list(view["eval/loss"].steps)[:3] == [3, 6, 6] and "test/loss" in view
    assert "train/learning_rate" in view and "train/train_runtime" in view
    assert view.params["args/max_steps"] == "6"
    assert (view.artifact_folder / "model_config.json").exists()
    kept = sorted(path.name for path in (view.artifact_folder / "checkpoints").iterdir())
    assert kept == ["checkpoint-3", "checkpoint-6"]


def test_keys_may_stay_as_they_are(ws, script):
    framework("transformers")
    script(TRAIN.format(options="rename=False", rest=""))
    (row,) = ws.search(experiments=["nlp"]).rows()
    assert {"loss", "eval_loss", "grad_norm"} <= set(ws[row["run_id"]].keys())


def test_other_processes_log_nothing_and_texts_are_told(ws, folder):
    framework("transformers")
    from types import SimpleNamespace

    import stepwell
    from stepwell.huggingface import StepwellCallback

    callback = StepwellCallback(workspace=folder, experiment="e")
    state = SimpleNamespace(is_world_process_zero=False, global_step=1)
    callback.on_log(None, state, None, logs={"loss": 1.0})
    assert callback.run is None
    state.is_world_process_zero = True
    with pytest.warns(stepwell.LoggingWarning, match="no number"):
        callback.on_log(SimpleNamespace(run_name="r"), state, None, logs={"loss": 1.0, "eval_note": "x"})
    assert list(callback.run["train/loss"].values) == [1.0]
    assert (callback.run.artifact_folder / "texts/eval/note/1.txt").read_text() == "x"
