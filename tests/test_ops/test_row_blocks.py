from hypothesis import given
from hypothesis import strategies as st

from vrtspike.ops.row_blocks import RowBlock, row_block


def test_channels_are_padded_to_a_power_of_two():
    assert [row_block(channels, 2048) for channels in (1, 96, 128, 5000)] == [
        RowBlock(1, 2, 1024),
        RowBlock(96, 128, 16),
        RowBlock(128, 128, 16),
        RowBlock(5000, 8192, 1),
    ]


@given(st.integers(1, 10_000), st.sampled_from([512, 1024, 2048]))
def test_a_block_has_all_channels_and_no_more_numbers_than_asked_for(channels, numbers):
    block = row_block(channels, numbers)
    assert channels <= block.BC <= 2 * channels
    size = block.R * block.BC
    assert block.R == 1 or size == numbers
