"""Weights, gradients and the optimizer's state sharded over GPUs (FSDP), for networks that do not fit one.

tools/dist_train.sh configs/recipes/fsdp.py 4

Unverified: this has been validated as a config and never been run, since it needs several GPUs. The hooks that look at
gradients (skipped steps, gradients kept in checkpoints) assume whole ones and are left out.
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
