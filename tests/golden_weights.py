"""The weights that the golden cases were computed with: a function of a parameter's name and the case's seed."""

from zlib import crc32

import numpy as np
import torch

# The last convolutions of a SpyNet level and of the offset head are drawn at half size.
HALVED = ('.basic_module.8.', '.conv_offset.6.')


def golden_value(name, shape, seed=0):
    """Return the float32 array of the parameter ``name``, drawn from a generator that its name seeds.

    Bias tables have a standard deviation of 0.5, vectors are near 1 (weights of norms) or 0 (biases), and everything
    else is scaled by its fan-in.
    """
    drawn = np.random.RandomState(crc32(f'{seed}/{name}'.encode())).standard_normal(shape)
    if name.endswith('relative_position_bias_table'):
        drawn = drawn * 0.5
    elif len(shape) == 1:
        drawn = drawn * 0.1 + 1 if name.endswith('weight') else drawn * 0.05
    else:
        gain = 0.5 if any(part in name for part in HALVED) else 1.0
        drawn = drawn * gain / np.sqrt(np.prod(shape[1:]))
    return drawn.astype(np.float32)


def set_golden_weights(model, seed):
    """Set every parameter of ``model`` in place; buffers stay."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(golden_value(name, tuple(parameter.shape), seed)))
    return model
