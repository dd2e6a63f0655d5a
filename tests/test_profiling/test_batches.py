import pytest
import torch

from vrtspike.profiling.batches import batch_size


@pytest.mark.parametrize(
    ('batch', 'expected'),
    [
        ({'blur': torch.zeros(2, 5, 3, 4, 4)}, (2, 10)),
        ({'meta': {}, 'image': torch.zeros(4, 3, 8, 8)}, (4, 4)),
        ([torch.zeros(3, 2), torch.zeros(3)], (3, 3)),
        ({'text': 'x'}, (1, 1)),
        ({'inputs': [torch.zeros(3, 8, 8)] * 5, 'data_samples': [None] * 5}, (5, 5)),
        ({'inputs': {'img': torch.zeros(6, 3), 'depth': torch.zeros(6, 1)}}, (6, 6)),
        (torch.zeros(7, 3), (7, 7)),
        (3.0, (1, 1)),
    ],
)
def test_batch_size(batch, expected):
    assert batch_size(batch) == expected
