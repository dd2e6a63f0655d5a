"""A restorer that also learns from a trained one (knowledge distillation, arXiv 1503.02531)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.models.layers.frozen import Outside
from vrtspike.models.restorer import SpikeRestorer
from vrtspike.profiling import stage
from vrtspike.registry import MODELS
from vrtspike.runtime.checkpoint_files import load_checkpoint_file, unwrap_state_dict


@MODELS.register_module()
class DistilledRestorer(SpikeRestorer):
    """A :class:`~vrtspike.models.restorer.SpikeRestorer` taught by another one while it trains.

    The teacher is frozen, sees the same batches and is not part of checkpoints: these are the student's alone, and load
    wherever its plain config does.

    Args:
        teacher: Config file of the teacher.
        teacher_checkpoint: Its weights.
        output_weight: Factor of the mean absolute difference of the restored frames.
        feature_weight: Factor of the mean absolute difference of the features after ``feature_stages``, relative to
            the mean size of the teacher's; 0 compares outputs alone.
        feature_stages: 0 is after the input convolution, 1-7 after that stage, fusion included. Both networks must have
            the same channels there.
        **student: Arguments of ``SpikeRestorer``.

    Raises:
        ConfigError: The networks differ where features are compared.
        CheckpointError: The checkpoint does not fit the teacher's config.
    """

    def __init__(
        self,
        teacher: str,
        teacher_checkpoint: str,
        output_weight: float = 1.0,
        feature_weight: float = 0.0,
        feature_stages: Sequence[int] = (1, 4, 7),
        **student: Any,
    ) -> None:
        super().__init__(**student)
        self.output_weight = output_weight
        self.feature_weight = feature_weight
        self.feature_stages = tuple(feature_stages) if feature_weight else ()
        self.teacher = Outside(load_teacher(teacher, teacher_checkpoint))
        self.check_stages()

    def check_stages(self) -> None:
        """Refuse features that cannot be compared."""
        mine, theirs = self.backbone.stage_channels, self.teacher.module.backbone.stage_channels
        for i in self.feature_stages:
            if not i < min(len(mine), len(theirs)) or mine[i] != theirs[i]:
                raise ConfigError(
                    f'DistilledRestorer: features after stage {i} cannot be compared: the student has channels '
                    f'{list(mine)}, the teacher {list(theirs)}; choose feature_stages where they agree, or '
                    'feature_weight=0'
                )

    def forward(
        self,
        blur: Tensor,
        spikes: Tensor | None = None,
        sharp: Tensor | None = None,
        size: tuple[int, int] | None = None,
        meta: dict[str, Any] | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Any]]:
        """Restore a prepared batch as the student does; mode 'loss' adds what the teacher has to say."""
        if mode != 'loss':
            return super().forward(blur, spikes, sharp, size, meta, mode)
        with torch.no_grad(), noticed(self.teacher.module, self.feature_stages) as wanted:
            taught = self.teacher.module.restore(blur, spikes)
        with noticed(self, self.feature_stages) as found:
            restored = self.restore(blur, spikes)
        with stage('loss') as s:
            height, width = (length * self.backbone.scale for length in size or blur.shape[-2:])
            restored = s.enter(restored)[..., :height, :width]
            losses = {'restoration_loss': self.loss(restored, sharp[..., :height, :width])}
            difference = F.l1_loss(restored.float(), taught[..., :height, :width].float())
            losses['output_distillation_loss'] = self.output_weight * difference
            if self.feature_stages:
                gaps = [relative_gap(found[i], wanted[i]) for i in self.feature_stages]
                losses['feature_distillation_loss'] = self.feature_weight * torch.stack(gaps).mean()
            return {name: s.leave(loss) for name, loss in losses.items()}


def relative_gap(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean absolute difference of two maps over the mean size of the second."""
    wanted = wanted.float()
    return F.l1_loss(found.float(), wanted) / wanted.abs().mean().clamp_min(1e-6)


class noticed:
    """Notice a restorer's features inside a ``with`` block: {stage: (B, C, T, H, W)}, as the next stage sees them.

    Args:
        restorer: Its backbone's ``forward`` is listened to.
        stages: Which stages to keep.
    """

    def __init__(self, restorer: SpikeRestorer, stages: Sequence[int]) -> None:
        self.backbone = restorer.backbone
        self.stages = stages

    def __enter__(self) -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}
        self.hook = self.backbone.register_forward_pre_hook(
            lambda module, args, kwargs: (args, kwargs | {'fuse': self.listening(kwargs.get('fuse'), found)}),
            with_kwargs=True,
        )
        return found

    def __exit__(self, *exception: object) -> None:
        self.hook.remove()

    def listening(self, fuse: Callable[[int, Tensor], Tensor] | None, found: dict[int, Tensor]) -> Callable:
        """Return ``fuse`` that also keeps what it returns."""

        def fuse_and_keep(i: int, features: Tensor) -> Tensor:
            features = fuse(i, features) if fuse else features
            if i in self.stages:
                found[i] = features
            return features

        return fuse_and_keep


def load_teacher(config: str, checkpoint: str) -> nn.Module:
    """Return the network of a config file with the weights of a checkpoint."""
    from vrtspike.config import load_config

    if not Path(config).is_file():
        raise ConfigError(f'DistilledRestorer: teacher={config!r} is no file; name the config the teacher was made by')
    teacher = MODELS.build(load_config(config).model)
    weights = unwrap_state_dict(load_checkpoint_file(checkpoint))
    missing, unexpected = teacher.load_state_dict(weights, strict=False)
    if missing or unexpected:
        raise CheckpointError(
            f'{checkpoint} does not fit {config}: {len(missing)} of its weights are missing (first: '
            f'{next(iter(missing), None)}), {len(unexpected)} unexpected (first: {next(iter(unexpected), None)})'
        )
    return teacher
