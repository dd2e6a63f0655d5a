"""One clip at a time, steps as if of twelve: the baseline's effective batch doubled, at no memory.

python tools/train.py configs/recipes/accumulation.py

Iterations count clips, not steps: twice the accumulation needs twice the iterations for as many steps.
"""

_base_ = '../vrt_spike_baseline.py'
optim_wrapper = dict(accumulative_counts=12)
train_cfg = dict(max_iters=120_000, val_interval=2000)
warm_up = dict(max_iters=3072)
