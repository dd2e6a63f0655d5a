"""Draws the quality at every instant of the exposure after each validation."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.runner import Runner

from vrtspike.hooks.observing import ObservingHook
from vrtspike.metrics.restoration import AT_INSTANT, instant_in
from vrtspike.registry import HOOKS
from vrtspike.reporting.instant_curve import plot

FILE_NAME = 'psnr_over_instants.png'


@HOOKS.register_module()
class InstantCurveHook(ObservingHook):
    """Writes ``psnr_over_instants.png`` into the run folder: the PSNR of the last validation over the instants.

    It needs a validation at several instants (``ClipDataset(instants=...)``); others draw nothing.
    """

    gives = FILE_NAME
    priority = 'LOW'

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw the scalars ``psnr@<instant>``."""
        curve = {instant_in(name): value for name, value in (metrics or {}).items() if name.startswith(AT_INSTANT)}
        if curve and is_main_process():
            plot({f'iteration {runner.iter}': curve}, Path(runner.work_dir) / FILE_NAME)
