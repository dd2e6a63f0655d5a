"""Weights, gradients and optimizer state sharded over several GPUs (FSDP), for networks too large for one.

tools/dist_train.sh configs/recipes/fsdp.py 4

Unverified: the config is checked but has never been run, because it needs several GPUs. Hooks that read gradients
(skipped steps, gradients kept in checkpoints) assume unsharded ones and are left out.
"""

_base_ = '../vrt_spike_baseline.py'
runner_type = 'FlexibleRunner'
strategy = dict(
    type='FSDPStrategy',
    model_wrapper=dict(type='MMFullyShardedDataParallel', use_orig_params=True),
)
default_hooks = dict(
    _delete_=True,
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=3),
    logger=dict(type='LoggerHook', interval=50),
    seeds=dict(type='IterationSeedHook'),
    network_summary=dict(type='NetworkSummaryHook'),
)
cpu_overrides = dict(_delete_=True)
