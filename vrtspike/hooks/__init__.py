"""Hooks of the training run, one to a file."""

from vrtspike.hooks.bad_samples_hook import BadSamplesHook
from vrtspike.hooks.chunk_report_hook import ChunkReportHook
from vrtspike.hooks.clip_pictures_hook import ClipPicturesHook
from vrtspike.hooks.flops_hook import FlopsHook
from vrtspike.hooks.freeze_hook import FreezeHook
from vrtspike.hooks.network_summary_hook import NetworkSummaryHook
from vrtspike.hooks.safe_checkpoint_hook import SafeCheckpointHook
from vrtspike.hooks.stage_cost_hook import StageCostHook
from vrtspike.hooks.training_report_hook import TrainingReportHook

__all__ = [
    'BadSamplesHook',
    'ChunkReportHook',
    'ClipPicturesHook',
    'FlopsHook',
    'FreezeHook',
    'NetworkSummaryHook',
    'SafeCheckpointHook',
    'StageCostHook',
    'TrainingReportHook',
]
