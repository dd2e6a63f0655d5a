import numpy as np
import torch

from vrtspike.datasets import color
from vrtspike.models.layers.srgb import decode_srgb, encode_srgb


def test_agrees_with_the_encoding_of_the_data():
    values = np.linspace(0, 1, 101, dtype=np.float32)
    np.testing.assert_allclose(decode_srgb(torch.from_numpy(values)), color.decode_srgb(values), atol=1e-6)
    np.testing.assert_allclose(encode_srgb(torch.from_numpy(values)), color.encode_srgb(values), atol=1e-6)


def test_encoding_undoes_decoding_beyond_the_range_too():
    values = torch.linspace(-0.5, 1.5, 81, dtype=torch.float64)
    torch.testing.assert_close(encode_srgb(decode_srgb(values)), values, rtol=0, atol=1e-7)


def test_gradients_are_finite_everywhere():
    values = torch.tensor([-1.0, 0.0, 1e-8, 0.04045, 2.0], requires_grad=True)
    (decode_srgb(values) + encode_srgb(values)).sum().backward()
    assert values.grad.isfinite().all()
    assert (values.grad > 0).all()
