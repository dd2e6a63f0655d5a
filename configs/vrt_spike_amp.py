"""The baseline with automatic mixed precision.

python tools/train.py configs/vrt_spike_amp.py
"""

_base_ = './vrt_spike_baseline.py'
optim_wrapper = dict(type='DeviceAmpOptimWrapper', dtype='auto')
