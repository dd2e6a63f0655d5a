"""What a test of a checkpoint records: the scores of every sequence, and the results made from them."""

from __future__ import annotations

from typing import Any

import msgspec

Row = dict[str, float | int | str]
"""Scores by name (see :func:`vrtspike.metrics.scores.frame_scores`), with the ``frame`` or ``clip`` they belong to."""


class SequenceScores(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of one sequence at one threshold of the spike camera.

    Args:
        factor: The threshold as a multiple of the camera's own.
        clip: Name of the sequence.
        seconds: Time to read and restore it.
        peak_memory_mib: Peak memory of the process so far, None where it is unknown.
        frames: One row for each frame, in order: ``frame`` and its scores.
        temporal: Scores of consecutive frames, see :class:`vrtspike.metrics.temporal.TemporalConsistency`.
    """

    factor: float
    clip: str
    seconds: float
    peak_memory_mib: float | None = None
    frames: list[Row]
    temporal: dict[str, float] = {}


class FrameGain(msgspec.Struct, frozen=True, kw_only=True):
    """How much one frame gained over the blurred input."""

    clip: str
    frame: str
    psnr_db: float
    blur_psnr_db: float
    gain_db: float


class ThresholdScore(msgspec.Struct, frozen=True):
    """The PSNR at one threshold of the spike camera, the mean over clips.

    Args:
        factor: The threshold as a multiple of the camera's own.
        psnr_db: PSNR of the restored frames.
        loss_db: How much lower it is than at the first threshold of the test.
    """

    factor: float
    psnr_db: float
    loss_db: float


class RestoringCost(msgspec.Struct, frozen=True):
    """What restoring costs: parameters, time per frame (reading included) and peak memory (None: unknown)."""

    parameters: int
    restore_ms_per_frame: float
    peak_memory_mib: float | None


class StageMedians(msgspec.Struct, frozen=True, kw_only=True):
    """What one stage cost in training: median milliseconds of an iteration, and the share of the iteration (0-1)."""

    stage: str
    forward_ms: float
    recompute_ms: float
    backward_ms: float
    share: float


class EvaluationResults(msgspec.Struct, frozen=True, kw_only=True):
    """The results of a test, as ``results.json`` holds them.

    Args:
        config: Path of the config.
        checkpoint: Path of the checkpoint.
        checkpoint_sha256: Its SHA-256.
        tiling: How sequences were cut (:class:`vrtspike.models.tiling.Tiling`).
        protocol: Name of the protocol (:data:`vrtspike.metrics.protocols.PROTOCOLS`) of ``psnr_db`` and ``ssim``.
        mean_of_clips: Mean over clips of each clip's mean, by name of the score; ``gain_db`` and temporal scores
            included.
        mean_of_frames: Mean over all frames.
        clips: One row for each clip: ``clip``, how many ``frames``, and the means over them.
        worst_frames: The frames that gained least, the worst first.
        thresholds: One entry for each threshold of the test. All other results are for the first.
        cost: What restoring cost.
        training: The ``report.json`` that the training left beside the checkpoint, or None.
        training_stages: What the stages cost in that training; empty where that was not measured.
        versions: Versions of the software.
        device: ``type`` and ``name`` of the device.
        commit: Commit of the checkout, or None.
    """

    config: str
    checkpoint: str
    checkpoint_sha256: str
    tiling: dict[str, Any]
    protocol: str = 'published'
    mean_of_clips: dict[str, float]
    mean_of_frames: dict[str, float]
    clips: list[Row]
    worst_frames: list[FrameGain]
    thresholds: list[ThresholdScore]
    cost: RestoringCost
    training: dict[str, Any] | None
    training_stages: list[StageMedians] = []
    versions: dict[str, str | None]
    device: dict[str, str | int]
    commit: str | None


def at_first_threshold(sequences: list[SequenceScores]) -> list[SequenceScores]:
    """Return the sequences' scores at the test's first threshold, which is the one that is reported."""
    return [sequence for sequence in sequences if sequence.factor == sequences[0].factor]
