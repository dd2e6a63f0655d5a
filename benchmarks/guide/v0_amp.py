"""The guide's own network under automatic mixed precision, and nothing else.

python tools/train.py benchmarks/guide/v0_amp.py
"""

_base_ = '../../configs/vrt_spike_v0.py'
optim_wrapper = dict(type='DeviceAmpOptimWrapper', dtype='auto')
