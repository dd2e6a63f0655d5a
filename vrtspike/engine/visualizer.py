"""MMEngine's visualizer. Errors of its backends do not end a training."""

from __future__ import annotations

from typing import Any

from mmengine import visualization

from vrtspike.hooks.observing import guard_backends
from vrtspike.registry import VISUALIZERS


@VISUALIZERS.register_module()
class Visualizer(visualization.Visualizer):
    """MMEngine's ``Visualizer``. An error of a backend, such as TensorBoard or W&B, is one warning.

    Arguments are those of MMEngine's class.
    """

    def __init__(self, name: str = 'visualizer', **settings: Any) -> None:
        super().__init__(name, **settings)
        guard_backends(self)
