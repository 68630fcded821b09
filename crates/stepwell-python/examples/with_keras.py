"""Keras with a callback. KERAS_BACKEND chooses what computes: jax, torch or tensorflow.

KERAS_BACKEND=jax python with_keras.py
"""

import keras
import numpy as np

import stepwell
from stepwell.keras import StepwellCallback

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).normal(size=(256, 4))
y = x.sum(axis=1, keepdims=True)

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
callback = StepwellCallback(experiment="examples", name="keras", every_batches=4)
model.fit(x, y, epochs=5, validation_split=0.25, verbose=0, callbacks=[callback])

view = stepwell.open()[callback.id]
print(f"validation loss: {view['val_loss'].values[-1]:.4f} after {len(view['loss'])} epochs")
