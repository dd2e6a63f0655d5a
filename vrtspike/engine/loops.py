"""Training loops."""

from __future__ import annotations

from mmengine.runner import IterBasedTrainLoop

from vrtspike.registry import LOOPS


@LOOPS.register_module()
class SkippingIterLoop(IterBasedTrainLoop):
    """MMEngine's iteration-based loop, whose sampler skips what a resumed run has already seen.

    MMEngine reads and throws away every batch up to there. Arguments are those of ``IterBasedTrainLoop``.
    """

    def run(self):
        """Train up to ``max_iters``."""
        sampler = self.dataloader.sampler
        if self._iter and hasattr(sampler, 'skip'):
            sampler.skip(self._iter * self.dataloader.batch_size)
            self.fast_forward_on_resume = True
        return super().run()
