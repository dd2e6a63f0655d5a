"""Weights, gradients and optimizer state sharded over several GPUs (torch's FSDP2), for networks too large for one.

    tools/dist_train.sh configs/recipes/fsdp.py 4

Losses equal those of an unsharded run with the same global batch, and the checkpoints are the same too: they can be
tested, restored from, and resumed without sharding. FLOPs are not counted in such a run (tools/get_flops.py counts
them).
"""

_base_ = '../vrt_spike_baseline.py'
runner_type = 'FlexibleRunner'
strategy = dict(type='FullyShardedStrategy')
default_hooks = dict(flops=None)
