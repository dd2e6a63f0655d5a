"""Gradients of twelve clips in one step: twice the effective batch size of the baseline, in the same memory.

python tools/train.py configs/recipes/accumulation.py

Iterations count clips, not optimizer steps: the same number of steps takes twice the iterations.
"""

_base_ = '../vrt_spike_baseline.py'
optim_wrapper = dict(accumulative_counts=12)
train_cfg = dict(max_iters=120_000, val_interval=2000)
warm_up = dict(max_iters=3072)
