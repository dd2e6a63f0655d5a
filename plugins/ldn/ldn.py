"""A restorer around the light deblurring network of S-SDM, which takes raw spikes."""

from __future__ import annotations

from torch import Tensor

from vrtspike.errors import DataError
from vrtspike.models.restorer import Part, SpikeRestorer
from vrtspike.models.tiling import Tiling
from vrtspike.registry import MODELS

from .network import LDN


@MODELS.register_module()
class LDNRestorer(SpikeRestorer):
    """Restores every frame of a clip by itself with LDN (S-SDM, arXiv 2403.09486).

    The pipelines need ``BinSpikes`` with the representation ``RawWindow(length=steps)``.

    Args:
        steps: L, the raw spike steps of a frame.
        loss, data_preprocessor, tiling: See :class:`~vrtspike.models.restorer.SpikeRestorer`.
    """

    def __init__(
        self,
        steps: int = 21,
        loss: Part | None = None,
        data_preprocessor: Part | None = None,
        tiling: Tiling | dict | None = None,
    ) -> None:
        super().__init__(LDN(steps), loss=loss, data_preprocessor=data_preprocessor, tiling=tiling)

    @property
    def spike_encoder(self) -> LDN:
        """The network, which encodes the spikes itself; ``bins`` is the number of its steps."""
        return self.backbone

    def restore(self, blur: Tensor, spikes: Tensor | None, instant: Tensor | None = None) -> Tensor:
        """Return the restored frames (B, T, 3, H, W), not clamped; the spikes alone tell the network the instant."""
        if spikes is None or spikes.shape[2] != self.backbone.bins:
            found = 'no spikes' if spikes is None else f'{spikes.shape[2]} bins'
            raise DataError(
                f'LDNRestorer got {found}, expected {self.backbone.bins} raw steps per frame: put dict(type='
                f"'BinSpikes', representation=dict(type='RawWindow', length={self.backbone.bins})) into the pipelines"
            )
        restored = self.backbone(blur.flatten(0, 1), spikes.flatten(0, 1).to(blur.dtype))
        return restored.unflatten(0, blur.shape[:2])

    def cost_stages(self) -> tuple[str, ...]:
        """Return the names of the marked stages, in the order they run."""
        return (*self.backbone.cost_stages(), 'loss')
