"""The baseline without fusion after stage 1, and nothing else.

python tools/train.py benchmarks/guide/no_stage1_fusion.py
"""

_base_ = '../../configs/vrt_spike_baseline.py'
model = dict(fusion_stages=[2, 3, 4])
