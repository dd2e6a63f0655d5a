"""First of two runs: the spike side alone is trained, into a frozen backbone with published weights.

python tools/train.py configs/recipes/lora_phase1.py --load-from 006_VRT_videodeblurring_GoPro.pth
"""

_base_ = '../vrt_spike_baseline.py'
default_hooks = dict(freeze=dict(type='FreezeHook', names=['backbone']))
train_cfg = dict(max_iters=24_000)
