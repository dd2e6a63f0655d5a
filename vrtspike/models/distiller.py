"""A restorer that also learns from a trained restorer (knowledge distillation, arXiv 1503.02531)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vrtspike.errors import ConfigError
from vrtspike.models.layers.frozen import FrozenModule
from vrtspike.models.restorer import Part, SpikeRestorer, TrainingBatch, built
from vrtspike.models.weights import load_exact, read_weights
from vrtspike.profiling import stage
from vrtspike.registry import MODELS


@MODELS.register_module()
class DistilledRestorer(SpikeRestorer):
    """A :class:`~vrtspike.models.restorer.SpikeRestorer` that also learns from a teacher.

    The teacher is frozen and gets the same batches. Checkpoints contain only the student; they also load into a
    ``SpikeRestorer`` with the student's config.

    Args:
        teacher: From MODELS. A config may give the path of the teacher's config instead; when the config is loaded, the
            ``model`` of that file replaces the path.
        teacher_checkpoint: File with the teacher's weights; None keeps the weights of a teacher that is already built.
        output_weight: Factor of the mean absolute difference of the restored frames.
        feature_weight: Factor of the mean absolute difference of the features after ``feature_stages``, relative to
            the mean magnitude of the teacher's features; with 0, only restored frames are compared.
        feature_stages: Where features are compared: 0 is after the input convolution, 1-7 after that stage and its
            fusion. Both networks must have the same channels there.
        **student: Arguments of ``SpikeRestorer``.

    Raises:
        ConfigError: The networks have different channels where features are compared.
        CheckpointError: The checkpoint does not fit the teacher.
    """

    def __init__(
        self,
        teacher: Part,
        teacher_checkpoint: str | None = None,
        output_weight: float = 1.0,
        feature_weight: float = 0.0,
        feature_stages: Sequence[int] = (1, 4, 7),
        **student: Any,
    ) -> None:
        super().__init__(**student)
        self.output_weight = output_weight
        self.feature_weight = feature_weight
        self.feature_stages = tuple(feature_stages) if feature_weight else ()
        self.teacher = FrozenModule(self.build_teacher(teacher, teacher_checkpoint))
        self.check_stages()

    def check_stages(self) -> None:
        """Raise :class:`ConfigError` if the networks take different inputs, or features cannot be compared."""
        channels = [network.backbone.in_channels for network in (self, self.teacher.module)]
        if channels[0] != channels[1]:
            raise ConfigError(
                f'DistilledRestorer: the student takes {channels[0]} channels and the teacher {channels[1]}, but both '
                'get the same frames: give both the same start'
            )
        if self.restores_grey != self.teacher.module.restores_grey:
            raise ConfigError('DistilledRestorer: the student and the teacher need the same start, both get one batch')
        if self.flow_steps != self.teacher.module.flow_steps:
            raise ConfigError('DistilledRestorer: the student and the teacher need the same flow, both get one batch')
        student, teacher = self.backbone.stage_channels, self.teacher.module.backbone.stage_channels
        for i in self.feature_stages:
            if not i < min(len(student), len(teacher)) or student[i] != teacher[i]:
                raise ConfigError(
                    f'DistilledRestorer: features after stage {i} cannot be compared: the student has channels '
                    f'{list(student)}, the teacher {list(teacher)}; choose feature_stages where they agree, or '
                    'feature_weight=0'
                )

    @staticmethod
    def build_teacher(teacher: Part, checkpoint: str | None) -> SpikeRestorer:
        """Return the teacher with its weights."""
        if isinstance(teacher, str):
            raise ConfigError(
                f'DistilledRestorer: teacher={teacher!r} is a path; vrtspike.config.load_config replaces it with '
                'the model of that config: load your config with it, or pass the model itself'
            )
        network = built(teacher, MODELS)
        if checkpoint is not None:
            load_exact(network, read_weights(checkpoint), f'{checkpoint} (teacher_checkpoint)')
        return network

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Return the student's loss and the differences from the teacher."""
        inputs = batch.blur, batch.spikes, batch.instant
        with torch.no_grad(), recorded_features(self.teacher.module, self.feature_stages) as teacher_features:
            teacher_frames = self.crop(self.teacher.module.restore(*inputs), batch.size)
        with recorded_features(self, self.feature_stages) as features:
            restored = self.restore(*inputs)
        with stage('loss') as s:
            restored = self.crop(s.enter(restored), batch.size)
            target = batch.sharp[..., : restored.shape[-2], : restored.shape[-1]]
            losses = {'restoration_loss': self.loss(restored, target)}
            difference = F.l1_loss(restored.float(), teacher_frames.float())
            losses['output_distillation_loss'] = self.output_weight * difference
            if self.feature_stages:
                differences = [relative_difference(features[i], teacher_features[i]) for i in self.feature_stages]
                losses['feature_distillation_loss'] = self.feature_weight * torch.stack(differences).mean()
            return {name: s.leave(loss) for name, loss in losses.items()}


def relative_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean absolute difference of two maps, divided by the mean magnitude of the second."""
    teacher = teacher.float()
    return F.l1_loss(student.float(), teacher) / teacher.abs().mean().clamp_min(1e-6)


class recorded_features:
    """Record a restorer's features in a ``with`` block: {stage: (B, C, T, H, W)}, as the next stage sees them.

    Args:
        restorer: The restorer whose backbone is observed.
        stages: The stages whose features are recorded.
    """

    def __init__(self, restorer: SpikeRestorer, stages: Sequence[int]) -> None:
        self.backbone = restorer.backbone
        self.stages = stages

    def __enter__(self) -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}
        self.hook = self.backbone.register_forward_pre_hook(
            lambda module, args, kwargs: (args, kwargs | {'fuse': self.recording(kwargs.get('fuse'), found)}),
            with_kwargs=True,
        )
        return found

    def __exit__(self, *exception: object) -> None:
        self.hook.remove()

    def recording(self, fuse: Callable[[int, Tensor], Tensor] | None, found: dict[int, Tensor]) -> Callable:
        """Return ``fuse`` with its results recorded in ``found``."""

        def fuse_and_record(i: int, features: Tensor) -> Tensor:
            features = fuse(i, features) if fuse else features
            if i in self.stages:
                found[i] = features
            return features

        return fuse_and_record
