# What a run logs, saves and shows. Each hook has a name, so that a child config changes one, as in
# default_hooks = dict(stage_cost=dict(interval=2)), or switches it off: default_hooks = dict(flops=None).
default_scope = 'vrtspike'
randomness = dict(seed=0)
# On GPUs, float32 matrix products compute in TF32, as convolutions do by PyTorch's default.
env_cfg = dict(cudnn_benchmark=True, matmul_tf32=True)
log_processor = dict(by_epoch=False, window_size=10)
default_hooks = dict(
    checkpoint=dict(type='SafeCheckpointHook', interval=1000, max_keep_ckpts=3, save_best='psnr'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    chunk_report=dict(type='ChunkReportHook'),
    seeds=dict(type='IterationSeedHook'),
    mean_loss=dict(type='MeanLossHook'),
    nonfinite=dict(type='NonFiniteHook'),
    stop=dict(type='StopSignalHook'),
    record=dict(type='RunRecordHook'),
    progress=dict(type='ProgressHook'),
    network_summary=dict(type='NetworkSummaryHook'),
    clip_pictures=dict(type='ClipPicturesHook', max_clips=20),
    training_report=dict(type='TrainingReportHook'),
    flops=dict(type='FlopsHook'),
    stage_cost=dict(type='StageCostHook', interval=10),
)
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
# Without a GPU, train.py shortens the run to a check of the installation; the network stays as it is.
cpu_overrides = {
    'train_dataloader.batch_size': 1,
    'train_dataloader.num_workers': 1,
    'train_dataloader.dataset.pipeline.0.size': 32,
    'val_dataloader.dataset.pipeline.0.size': 96,
    'val_dataloader.num_workers': 0,
    'optim_wrapper.accumulative_counts': 1,
    'train_cfg.max_iters': 12,
    'default_hooks.logger.interval': 1,
    'default_hooks.stage_cost.interval': 2,
    'default_hooks.training_report.note': (
        'This run checks the installation: {iterations} iterations on a CPU train nothing.'
    ),
}
