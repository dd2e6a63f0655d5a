"""SpikeRestorer: a backbone that restores RGB clips with the help of spikes.

Shapes: B clips, T frames, C channels, K temporal bins, H x W pixels of RGB, Hs x Ws pixels of spikes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mmengine.model import BaseModel
from torch import Tensor, nn

from vrtspike.errors import ConfigError, DataError
from vrtspike.models.layers.cast_weights import cast_where_allowed
from vrtspike.models.layers.conv import Conv3d
from vrtspike.models.layers.maps import resize_maps
from vrtspike.models.lora import LoRA, adapt
from vrtspike.models.tiling import Tiling, restore_clip
from vrtspike.profiling import stage
from vrtspike.profiling.parameters import count_parameters
from vrtspike.registry import BACKBONES, FUSION_HEADS, MODELS, SPIKE_ENCODERS, TSA

Part = dict | nn.Module
#: What ``further_inputs`` may be.
FURTHER_INPUTS = ('sdm_neighbour',)


class TrainingBatch(NamedTuple):
    """A prepared batch with targets; :meth:`SpikeRestorer.forward` explains the fields."""

    blur: Tensor
    spikes: Tensor | None
    sharp: Tensor
    size: tuple[int, int] | None
    instant: Tensor | None
    meta: dict[str, Any] | None


@MODELS.register_module()
class SpikeRestorer(BaseModel):
    """Encodes spikes at several scales, mixes them along time and fuses them into the backbone's features.

    The spike map of scale 1/2^i is fused with the RGB features of that scale. The map is resized bilinearly to the size
    of the features, and projected (1x1x1) if its number of channels differs. RGB features of smaller scales are fused
    with the encoder's last map.

    Args:
        backbone: From :data:`~vrtspike.registry.BACKBONES`.
        spike_encoder: From SPIKE_ENCODERS; not built without ``fusion``.
        tsa: From TSA, built once for every scale that is used; None leaves the spike maps unchanged.
        fusion: From FUSION_HEADS, built once for every entry of ``fusion_stages``; None restores from RGB alone.
        fusion_stages: Where to fuse: 0 is after the input convolution, 1-7 are after that stage.
        loss: A module from MODELS that takes (restored, sharp). One with ``takes_inputs = True``, as
            :class:`~vrtspike.models.losses.ReblurLoss`, takes (restored, target, blur, meta) and returns losses by
            name.
        data_preprocessor: From MODELS; None uses :class:`~vrtspike.models.preprocessor.SpikePreprocessor`.
        tiling: How mode 'predict' cuts clips into tiles, a :class:`~vrtspike.models.tiling.Tiling` or its arguments;
            None restores whole clips. Training never tiles.
        start: The frame that the backbone corrects: ``'blur'``; ``'sdm'``, the estimate of
            :mod:`vrtspike.datasets.sdm`; or ``'spikes'``, the grey estimate of
            :class:`~vrtspike.datasets.transforms.alone.SpikesAlone`. With ``'sdm'`` the backbone gets both frames, and
            the pipelines need :class:`~vrtspike.datasets.transforms.sdm.AddSDM`. With ``'spikes'`` no RGB
            is seen, and restored frames are grey: the mean of the backbone's channels, three times. An untrained
            network returns the frame that it corrects.
        early_fusion: An :class:`~vrtspike.models.fusion.early.EarlyFusion` or its config: fuses sub-frames of spikes
            into the clip before the backbone. An expanded one excludes ``fusion`` and ``time``.
        time: From MODELS, such as :class:`~vrtspike.models.time_embedding.TimeEmbedding`: gives the network the instant
            of the exposure to restore. It is applied at the first fusion stage, or after the input convolution if there
            is no fusion; the features before it are the same at every instant. None gives the network no instant.
        further_inputs: Frames of a sample that the backbone sees too with ``start='sdm'``, three channels each between
            the estimate and the blurred frame: ``['sdm_neighbour']`` of
            :class:`~vrtspike.datasets.transforms.sdm.AddNeighbourSDM`.
        lora: Trains low-rank adapters in a frozen network, a :class:`~vrtspike.models.lora.LoRA` or its arguments; None
            trains all parameters.

    Raises:
        ConfigError: A fusion stage or an input does not exist, or a name in ``lora`` matches nothing.
    """

    # Read by the config's validation.
    parts = dict.fromkeys(('time', 'early_fusion'), MODELS)
    filled_in = dict.fromkeys(('tsa', 'fusion', 'time'), ('channels',)) | {'early_fusion': ('clip_channels',)}

    def __init__(
        self,
        backbone: Part,
        spike_encoder: Part | None = None,
        tsa: dict | None = None,
        fusion: dict | None = None,
        fusion_stages: Sequence[int] = (1, 2, 3, 4),
        loss: Part | None = None,
        data_preprocessor: Part | None = None,
        tiling: Tiling | dict | None = None,
        start: str = 'blur',
        time: dict | None = None,
        early_fusion: Part | None = None,
        further_inputs: Sequence[str] = (),
        lora: LoRA | dict | None = None,
    ) -> None:
        inputs = inputs_of(start, further_inputs)
        of_preprocessor = {} if start == 'blur' else {'inputs': inputs}
        of_backbone = {'in_chans': 3 * len(inputs)} if len(inputs) > 1 else {}
        preprocessor = data_preprocessor or dict(type='SpikePreprocessor')
        backbone = built(backbone, BACKBONES, of_backbone)
        if steps := getattr(backbone, 'flow_steps', 0):
            of_preprocessor = {**of_preprocessor, 'flow_steps': steps}
        super().__init__(built(preprocessor, MODELS, of_preprocessor))
        self.backbone = backbone
        self.flow_steps = steps
        self.restores_grey = start == 'spikes'
        self.loss = built(loss or dict(type='CharbonnierLoss'), MODELS)
        self.tiling = tiling if isinstance(tiling, Tiling) else Tiling(**tiling or {})
        clip_channels = {'clip_channels': self.backbone.in_channels}
        self.early_fusion = early_fusion and built(early_fusion, MODELS, clip_channels)
        if early_fusion and self.early_fusion.expands and (fusion or time):
            raise ConfigError(
                "SpikeRestorer: early_fusion.output='expanded' gives the backbone T * S frames, but fusion and time "
                "have T: set both to None, or output='collapsed'"
            )
        if fusion is not None:
            if spike_encoder is None:
                raise ConfigError('SpikeRestorer: fusion needs a spike_encoder; give one, or fusion=None for RGB alone')
            self.spike_encoder = built(spike_encoder, SPIKE_ENCODERS)
            self.build_fusion(tsa, fusion, fusion_stages)
        self.instant_stage = min(fusion_stages, default=0) if fusion is not None else 0
        self.time = time and MODELS.build(dict(time, channels=self.backbone.stage_channels[self.instant_stage]))
        if lora is not None:
            adapt(self, lora if isinstance(lora, LoRA) else LoRA(**lora))

    def build_fusion(self, tsa: dict | None, fusion: dict, fusion_stages: Sequence[int]) -> None:
        """Build one fusion head per stage, and one TSA per scale that they use."""
        scales = [self.scale_of(i) for i in fusion_stages]
        rgb_channels, spike_channels = self.backbone.stage_channels, self.spike_encoder.channels
        self.fusion = nn.ModuleDict(
            {f'stage{i}': FUSION_HEADS.build(dict(fusion, channels=rgb_channels[i])) for i in fusion_stages}
        )
        self.tsa = nn.ModuleDict(
            {f'scale{s}': TSA.build(dict(tsa, channels=spike_channels[s])) for s in sorted(set(scales))} if tsa else {}
        )
        self.projection = nn.ModuleDict(
            {
                f'stage{i}': Conv3d(spike_channels[s], rgb_channels[i], 1)
                for i, s in zip(fusion_stages, scales, strict=True)
                if spike_channels[s] != rgb_channels[i]
            }
        )

    def scale_of(self, stage_index: int) -> int:
        """Return the index of the encoder's map for a stage: i for features at 1/2^i of the size, at most the last."""
        divisors = self.backbone.stage_scales
        if not 0 <= stage_index < len(divisors):
            raise ConfigError(
                f'SpikeRestorer: fusion_stages has {stage_index}; this backbone can fuse at 0 (after the input '
                f'convolution) and after stages 1-{len(divisors) - 1}'
            )
        return min(divisors[stage_index].bit_length(), len(self.spike_encoder.channels)) - 1

    def forward(
        self,
        blur: Tensor,
        spikes: Tensor | None = None,
        sharp: Tensor | None = None,
        size: tuple[int, int] | None = None,
        meta: dict[str, Any] | None = None,
        instant: Tensor | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Any]]:
        """Restore a prepared batch.

        Args:
            blur: Frames (B, T, 3, H, W) in [0, 1]; with ``start='sdm'`` six channels, with ``further_inputs`` nine: the
                estimates, then the blurred frames.
            spikes: Voxel grids (B, T, K, Hs, Ws) of the same scene; unused without fusion. For a backbone with
                ``flow_steps``, the last ``flow_steps`` maps along axis K are the raw steps for its flow.
            sharp: Targets like ``blur``; needed for the loss.
            size: (H, W) before padding; None crops nothing.
            meta: Information from the data set about the samples, for losses that take it.
            instant: The instants to restore (B, T), from 0, the start of the exposure, to 1; None is 0.5, its middle.
            mode: 'tensor' returns the restored frames (B, T, 3, H, W), 'loss' a dict of losses, and 'predict' one dict
                per clip with ``restored`` (T, 3, H, W), clamped to [0, 1], and ``index``, its index in the batch.
        """
        if mode not in ('tensor', 'loss', 'predict'):
            raise ValueError(f"SpikeRestorer: mode={mode!r}; expected 'tensor', 'loss' or 'predict'")
        if mode != 'tensor':
            self.check_task(*blur.shape[1:3])
        if mode == 'loss':
            require_targets(sharp)
            return self.losses(TrainingBatch(blur, spikes, sharp, size, instant, meta))
        restore = self.restore_tiles if mode == 'predict' else self.restore
        restored = restore(blur, spikes, instant)
        restored = self.crop(restored, size)
        if mode == 'tensor':
            return restored
        return [{'restored': clip.float().clamp(0, 1), 'index': i} for i, clip in enumerate(restored)]

    def check_task(self, frames: int, channels: int) -> None:
        """Raise :class:`ConfigError` unless the backbone takes this number of channels and restores every frame."""
        restored = self.backbone.frames_out(frames)
        if (restored, channels) != (frames, self.backbone.in_channels):
            raise ConfigError(
                f'SpikeRestorer: {type(self.backbone).__name__} takes {self.backbone.in_channels} channels and returns '
                f'{restored} of {frames} frames, but clips have {channels} channels and every frame must be restored. '
                'Networks for denoising with a noise level or for frame interpolation only run in Python: model(clip)'
            )

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Return the losses by name."""
        restored = self.crop(self.restore(batch.blur, batch.spikes, batch.instant), batch.size)
        with stage('loss') as s:
            target = batch.sharp[..., : restored.shape[-2], : restored.shape[-1]]
            if not getattr(self.loss, 'takes_inputs', False):
                return {'loss': s.leave(self.loss(s.enter(restored), target))}
            losses = self.loss(s.enter(restored), target, self.crop(self.blurred(batch.blur), batch.size), batch.meta)
            return {name: s.leave(loss) for name, loss in losses.items()}

    def blurred(self, frames: Tensor) -> Tensor:
        """Return the blurred frames (B, T, 3, H, W) of the input, which may have other frames beside them."""
        first = 3 * getattr(self.data_preprocessor, 'inputs', ('blur',)).index('blur')
        return frames[:, :, first : first + 3]

    def crop(self, restored: Tensor, size: tuple[int, int] | None) -> Tensor:
        """Remove the padding from restored frames; ``size`` is (H, W) of the input before padding, or None."""
        if size is None:
            return restored
        return restored[..., : size[0] * self.backbone.scale, : size[1] * self.backbone.scale]

    def restore(self, blur: Tensor, spikes: Tensor | None, instant: Tensor | None = None) -> Tensor:
        """Return the restored frames (B, T, 3, H, W), not clamped; see :meth:`forward` for the arguments."""
        restored = self.restore_in_colour(blur, spikes, instant)
        return restored.mean(2, keepdim=True).expand_as(restored) if self.restores_grey else restored

    def restore_in_colour(self, blur: Tensor, spikes: Tensor | None, instant: Tensor | None) -> Tensor:
        """Return what the backbone restores; see :meth:`restore`."""
        instant = None if self.time is None else instant
        if not self.uses_spikes and instant is None:
            return self.backbone(blur)
        if self.uses_spikes and spikes is None:
            raise DataError(
                'SpikeRestorer: this network uses spikes, but the data have none: use data with spikes and do not set '
                "data.spikes=False, or use none with model.fusion=None and model.backbone.flow='rgb'"
            )
        for_flow = {}
        if self.flow_steps:
            spikes, for_flow['flow_spikes'] = spikes[:, :, : -self.flow_steps], spikes[:, :, -self.flow_steps :]
        clip = self.early_fusion(blur, spikes) if self.early_fusion else blur
        maps = self.spike_maps(spikes) if hasattr(self, 'spike_encoder') else []

        def fuse(i: int, features: Tensor) -> Tensor:
            if i == self.instant_stage and instant is not None:
                features = self.time(features, instant)
            return self.fuse(i, features, maps) if maps else features

        restored = self.backbone(clip, fuse=fuse, **for_flow)
        return self.early_fusion.select(restored) if self.early_fusion else restored

    def restore_tiles(self, blur: Tensor, spikes: Tensor | None, instant: Tensor | None = None) -> Tensor:
        """Return the restored frames in float32, restored tile by tile as set in ``tiling``."""
        divisor = getattr(self.data_preprocessor, 'divisor', 1)
        scale = self.backbone.scale
        return restore_clip(self.restore, blur, spikes, self.tiling, scale=scale, divisor=divisor, instant=instant)

    @property
    def uses_spikes(self) -> bool:
        """Whether the network fuses spikes or computes flow from them."""
        return bool(self.early_fusion or self.flow_steps) or hasattr(self, 'spike_encoder')

    @property
    def spike_bins(self) -> int:
        """The bins of the spikes that the network fuses, and the steps that its flow sees."""
        return getattr(getattr(self, 'spike_encoder', self.early_fusion), 'bins', 0) + self.flow_steps

    def parts_before_instant(self) -> list[nn.Module]:
        """Return the modules of the backbone whose features are the same at every instant of the same frames."""
        if self.early_fusion or self.flow_steps or self.restores_grey:
            return []
        return getattr(self.backbone, 'parts_of_blur_alone', lambda _: [])(self.instant_stage)

    def spike_maps(self, spikes: Tensor) -> list[Tensor]:
        """Return the spike features of every scale, (B, C, T, Hs/2^i, Ws/2^i)."""
        with stage('spike_encoder') as s:
            (encoder,) = cast_where_allowed(spikes, self.spike_encoder)
            maps = [s.leave(each) for each in encoder(spikes)]
        with stage('tsa') as s:
            for name, block in zip(self.tsa, cast_where_allowed(spikes, *self.tsa.values()), strict=True):
                i = int(name.removeprefix('scale'))
                maps[i] = s.leave(block(s.enter(maps[i])))
        return maps

    def fuse(self, i: int, features: Tensor, maps: list[Tensor]) -> Tensor:
        """Return the backbone's features (B, C, T, H, W) after stage ``i``, fused with the spike map of their scale."""
        name = f'stage{i}'
        if name not in self.fusion:
            return features
        with stage(f'fuse{i}') as s:
            spike = resize_maps(s.enter(maps[self.scale_of(i)]), features.shape[-2:])
            if name in self.projection:
                spike = self.projection[name](spike)
            (head,) = cast_where_allowed(features, self.fusion[name])
            return s.leave(head(s.enter(features), spike))

    def cost_stages(self) -> tuple[str, ...]:
        """Return the names of the marked stages, in the order they run."""
        fusions = {name: f'fuse{name.removeprefix("stage")}' for name in getattr(self, 'fusion', {})}
        stages = ['early_fusion'] if self.early_fusion else []
        stages += ['spike_encoder', 'tsa'] if hasattr(self, 'spike_encoder') else []
        for name in self.backbone.cost_stages():
            stages.append(name)
            after = 'stage0' if name == 'input' else name
            if after in fusions:
                stages.append(fusions[after])
        return (*stages, 'loss')

    def summary_rows(self) -> list[dict[str, object]]:
        """Return one row per part as built: blocks, window, channels, parameters."""
        rows = list(self.backbone.summary_rows()) if hasattr(self.backbone, 'summary_rows') else []
        if not rows:
            rows = [{'part': type(self.backbone).__name__, 'parameters': count_parameters(self.backbone)}]
        for name in ('early_fusion', 'spike_encoder', 'tsa', 'fusion', 'projection', 'time'):
            module = getattr(self, name, None)
            if module is not None and (parameters := count_parameters(module)):
                names = ', '.join(module) if isinstance(module, nn.ModuleDict) else ''
                rows.append({'part': name, 'blocks': names, 'parameters': parameters})
        return rows


def require_targets(sharp: Tensor | None) -> None:
    """Raise :class:`DataError` if a batch has nothing to learn from."""
    if sharp is None:
        raise DataError(
            'the training clips have no sharp frames: use data with sharp frames, or train without them as '
            'configs/recipes/reblur.py does, with ReblurLoss and SDMTargets'
        )


def built(part: Part, registry: Any, arguments: dict[str, Any] | None = None) -> nn.Module:
    """Build the module that a config node and further ``arguments`` describe; return a built module as it is."""
    return registry.build({**part, **(arguments or {})}) if isinstance(part, dict) else part


def inputs_of(start: str, further: Sequence[str]) -> tuple[str, ...]:
    """Return the frames of a sample that the backbone sees, in order; it corrects the first."""
    if further and (start != 'sdm' or tuple(further) != FURTHER_INPUTS):
        raise ConfigError(
            f'SpikeRestorer: further_inputs={list(further)}, expected {list(FURTHER_INPUTS)} or none, and none '
            "without start='sdm'"
        )
    if start == 'sdm':
        return ('sdm', *further, 'blur')
    if start == 'blur':
        return ('blur',)
    if start == 'spikes':
        return ('estimate',)
    raise ConfigError(f"SpikeRestorer: start={start!r}, expected 'blur', 'sdm' or 'spikes'")
