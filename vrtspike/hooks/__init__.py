"""Hooks of the training run, one to a file."""

from vrtspike.hooks.adapters_hook import AdaptersHook
from vrtspike.hooks.bad_samples_hook import BadSamplesHook
from vrtspike.hooks.chunk_report_hook import ChunkReportHook
from vrtspike.hooks.clip_pictures_hook import ClipPicturesHook
from vrtspike.hooks.flops_hook import FlopsHook
from vrtspike.hooks.freeze_hook import FreezeHook
from vrtspike.hooks.instant_curve_hook import InstantCurveHook
from vrtspike.hooks.iteration_seed_hook import IterationSeedHook
from vrtspike.hooks.mean_loss_hook import MeanLossHook
from vrtspike.hooks.network_summary_hook import NetworkSummaryHook
from vrtspike.hooks.nonfinite_hook import NonFiniteHook
from vrtspike.hooks.progress_hook import ProgressHook
from vrtspike.hooks.progressive_crops_hook import ProgressiveCropsHook
from vrtspike.hooks.run_record_hook import RunRecordHook
from vrtspike.hooks.runtime_info_hook import RuntimeInfoHook
from vrtspike.hooks.safe_checkpoint_hook import SafeCheckpointHook
from vrtspike.hooks.stage_cost_hook import StageCostHook
from vrtspike.hooks.stop_signal_hook import StopSignalHook
from vrtspike.hooks.training_report_hook import TrainingReportHook

__all__ = [
    'AdaptersHook',
    'BadSamplesHook',
    'ChunkReportHook',
    'ClipPicturesHook',
    'FlopsHook',
    'FreezeHook',
    'InstantCurveHook',
    'IterationSeedHook',
    'MeanLossHook',
    'NetworkSummaryHook',
    'NonFiniteHook',
    'ProgressHook',
    'ProgressiveCropsHook',
    'RunRecordHook',
    'RuntimeInfoHook',
    'SafeCheckpointHook',
    'StageCostHook',
    'StopSignalHook',
    'TrainingReportHook',
]
