"""What the Triton kernels of window attention read: the bias and the masks, padded and in tiles."""

import math

import pytest
import torch

from vrtspike.ops.window_attention.tiles import in_tiles, masks, padded_bias, transposed
from vrtspike.ops.window_attention.windows import MASKED, Settings, relative_position_bias, window_mask

WINDOW = (2, 3, 5)
SETTINGS = Settings(WINDOW, (1, 1, 2), heads=2, mutual=False, scale=0.5)
CPU = torch.device('cpu')


def out_of_tiles(x):
    """Return the matrices (..., R, C) of tiles, number by number."""
    *others, rows, columns = (*x.shape[:-6], 16 * x.shape[-6], 8 * x.shape[-5])
    found = x.new_empty(*others, rows, columns)
    for r in range(rows):
        for c in range(columns):
            found[..., r, c] = x[..., r // 16, c // 8, r % 8, c % 8 // 2, r % 16 // 8, c % 2]
    return found


def test_a_tile_holds_the_four_numbers_of_a_thread_together():
    x = torch.arange(3 * 32 * 24).view(3, 32, 24)
    tiles = in_tiles(x)
    assert tiles.shape == (3, 2, 3, 8, 4, 2, 2)
    assert tiles.is_contiguous()
    assert torch.equal(out_of_tiles(tiles), x)


def test_tiles_are_transposed_as_their_matrices():
    x = torch.randn(3, 32, 48)
    assert torch.equal(transposed(in_tiles(x)), in_tiles(x.mT))


def test_the_bias_pads_with_keys_that_get_nothing():
    table = torch.randn(math.prod(2 * length - 1 for length in WINDOW), 2)
    bias = out_of_tiles(padded_bias(table, SETTINGS))
    assert bias.shape == (2, 32, 32)
    torch.testing.assert_close(bias[:, :30, :30], relative_position_bias(table, WINDOW) / SETTINGS.scale)
    assert (bias[:, :30, 30:] == -math.inf).all()
    assert (bias[:, 30:] == 0).all()


@pytest.mark.parametrize(
    ('shift', 'mutual', 'kinds'), [((1, 1, 2), False, 8), ((0, 1, 2), False, 4), ((1, 1, 2), True, 4)]
)
def test_the_number_of_a_mask_says_which_axes_have_two_regions(shift, mutual, kinds):
    settings = SETTINGS._replace(shift=shift, mutual=mutual)
    found = out_of_tiles(masks(settings, CPU)) * settings.scale
    tokens = math.prod(settings.group)
    assert len(found) == kinds
    assert set(found.unique().tolist()) == {0.0, MASKED}
    for kind in range(kinds):
        mixed = kind & 4 > 0, kind & 2 > 0, kind & 1 > 0
        expected = window_mask(mixed, settings.group, (0, *shift[1:]) if mutual else shift, CPU)
        assert torch.equal(found[kind, :tokens, :tokens], expected)
    assert (found[:, tokens:] == 0).all()
    assert (found[..., tokens:] == 0).all()
