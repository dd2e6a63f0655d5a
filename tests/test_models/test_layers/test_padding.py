"""Which values padding adds, and where."""

import torch

from vrtspike.models.layers.padding import pad_frames, pad_to_multiple, repeat_border


def test_borders_are_repeated_below_and_to_the_right():
    maps = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 1, 2, 2)
    expected = torch.tensor([[1.0, 2.0, 2.0], [3.0, 4.0, 4.0], [3.0, 4.0, 4.0]])
    assert torch.equal(repeat_border(maps, 3, 3), expected.view(1, 1, 1, 3, 3))


def test_each_map_is_padded_to_multiples_with_its_own_border():
    maps = torch.rand(2, 3, 4, 5, 8)
    padded = pad_to_multiple(maps, 4)
    assert padded.shape == (2, 3, 4, 8, 8)
    assert torch.equal(padded[..., :5, :], maps)
    assert torch.equal(padded[..., 5:, :], maps[..., -1:, :].expand(-1, -1, -1, 3, -1))


def test_frames_of_zeros_are_added_at_both_ends():
    x = torch.ones(1, 2, 3, 4, 4)
    assert pad_frames(x, before=1, after=2)[0, :, 0, 0, 0].tolist() == [0, 1, 1, 0, 0]


def test_what_fits_is_returned_as_it_is():
    x = torch.rand(1, 2, 4, 4, 8)
    assert repeat_border(x, 4, 8) is x
    assert pad_to_multiple(x, 4) is x
    assert pad_frames(x) is x
