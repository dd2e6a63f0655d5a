"""The sampler: which sample comes next depends only on a seed and an ordinal."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from vrtspike.datasets.clips import SampleKey
from vrtspike.errors import DataError
from vrtspike.registry import DATA_SAMPLERS

#: Key in the message hub and in checkpoints: how many samples all processes together have trained on.
SAMPLES_SEEN_KEY = 'samples_seen'
# Separates the random numbers of the permutations from those of the samples, which are seeded by (seed, ordinal).
PERMUTATION_STREAM = 0x5EED


@DATA_SAMPLERS.register_module()
class OrdinalSampler(Sampler):
    """Endless numbered samples; the order of each epoch is a permutation seeded by (seed, epoch).

    Sample n does not depend on the number of processes: process r of w takes the ordinals r, r + w, ...
    A resumed run skips ahead without reading anything.

    Args:
        dataset: The data set whose clips are numbered.
        seed: Seed of the permutations and of the samples; None draws one that all processes share.
        shuffle: Permute each epoch; otherwise clips come in the order of their indices.
        start: Number of samples that this process skips at the beginning.
    """

    def __init__(self, dataset: Sized, seed: int | None = 0, shuffle: bool = True, start: int = 0) -> None:
        if len(dataset) == 0:
            raise DataError('OrdinalSampler got a data set without clips')
        self.clips = len(dataset)
        self.seed = sync_random_seed() if seed is None else seed
        self.shuffle = shuffle
        self.rank, self.world_size = get_dist_info()
        self.position = start

    def skip(self, samples: int) -> None:
        """Skip the next ``samples`` samples of this process; takes effect when iteration starts."""
        self.position += samples

    def __iter__(self) -> Iterator[SampleKey]:
        ordinal = self.rank + self.position * self.world_size
        epoch, order = -1, None
        while True:
            if ordinal // self.clips != epoch:
                epoch = ordinal // self.clips
                order = self.order(epoch)
            yield SampleKey(int(order[ordinal % self.clips]), ordinal, self.seed)
            ordinal += self.world_size

    def __len__(self) -> int:
        """Return the number of clips: one run through the data set."""
        return self.clips

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: epochs follow from ordinals. MMEngine's loops call it."""

    def order(self, epoch: int) -> np.ndarray:
        """Return the clips of one epoch in their order."""
        if not self.shuffle:
            return np.arange(self.clips)
        return np.random.default_rng((self.seed, epoch, PERMUTATION_STREAM)).permutation(self.clips)
