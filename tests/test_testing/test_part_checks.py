"""Every check passes on a part that keeps its promise and names the one that a part breaks."""

import pytest
import torch
from torch import nn

from vrtspike.testing import part_checks
from vrtspike.testing.part_checks import Subject

SHAPE = (2, 4, 3, 5, 6)


class Good(nn.Module):
    def __init__(self, chunk_size=None, adaptive_chunk=True):
        super().__init__()
        self.conv = nn.Conv3d(4, 4, 1)
        self.chunk_size = chunk_size

    def forward(self, x):
        return x + self.conv(x)


class WrongShape(Good):
    def forward(self, x):
        return super().forward(x)[..., :-1]


class NotFinite(Good):
    def forward(self, x):
        return super().forward(x) / 0


class InPlace(Good):
    def forward(self, x):
        return super().forward(x.mul_(2))


class Unused(Good):
    def __init__(self):
        super().__init__()
        self.forgotten = nn.Parameter(torch.ones(2))


class Detached(Good):
    def forward(self, x):
        return super().forward(x.detach())


class RandomWeights(Good):
    count = 0

    def __init__(self):
        super().__init__()
        RandomWeights.count += 1
        self.conv.weight.data += RandomWeights.count


class RandomOutput(Good):
    def forward(self, x):
        return super().forward(x) + torch.rand(())


class BatchMean(Good):
    def forward(self, x):
        return super().forward(x - x.mean())


class NotInItsState(Good):
    built = 0

    def __init__(self):
        super().__init__()
        NotInItsState.built += 1
        self.scale = NotInItsState.built

    def forward(self, x):
        return self.scale * super().forward(x)


class LosesDigits(Good):
    def forward(self, x):
        return x + (self.conv(x) + 300) - 300


class SeesItsChunk(Good):
    def forward(self, x):
        chunks = x.split(self.chunk_size, dim=3) if self.chunk_size else [x]
        return torch.cat([super(SeesItsChunk, self).forward(chunk - chunk.mean()) for chunk in chunks], dim=3)


def subject(part):
    return Subject(part.__name__, part, [SHAPE], [SHAPE])


CHECKS = [
    part_checks.check_shapes,
    part_checks.check_gradients,
    part_checks.check_determinism,
    part_checks.check_clip_independence,
    part_checks.check_state_dict,
    part_checks.check_autocast,
    part_checks.check_chunks,
]


@pytest.mark.parametrize('check', CHECKS)
def test_a_good_part_passes(check):
    check(subject(Good))


@pytest.mark.parametrize(
    ('check', 'part', 'message'),
    [
        (part_checks.check_shapes, WrongShape, r'WrongShape: returned \[\(2, 4, 3, 5, 5\)\], expected'),
        (part_checks.check_shapes, NotFinite, 'values that are not finite'),
        (part_checks.check_shapes, InPlace, 'changed its input in place'),
        (part_checks.check_gradients, Unused, 'Unused: no gradient reaches forgotten'),
        (part_checks.check_gradients, Detached, 'no gradient reaches input 0'),
        (part_checks.check_determinism, RandomWeights, r'two builds from one seed differ in conv\.weight'),
        (part_checks.check_determinism, RandomOutput, 'two calls with the same input'),
        (part_checks.check_clip_independence, BatchMean, 'when it is alone in its batch'),
        (part_checks.check_state_dict, NotInItsState, 'after its state dict was saved and loaded'),
        (part_checks.check_autocast, LosesDigits, 'of the largest value off under bf16 autocast'),
        (part_checks.check_chunks, SeesItsChunk, 'depend on how the map is cut'),
    ],
)
def test_a_broken_promise_is_named(check, part, message):
    with pytest.raises(AssertionError, match=message):
        check(subject(part))


def test_zeros_do_not_hide_what_lies_behind_them():
    class Gated(Good):
        def __init__(self):
            super().__init__()
            self.gate = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return x + self.gate * self.conv(x)

    part_checks.check_gradients(subject(Gated))
