"""All optimisations of the guide: plan B with AMP, and no fusion after stage 1.

python tools/train.py configs/vrt_spike_combined.py
"""

_base_ = './vrt_spike_fast.py'
model = dict(fusion_stages=[2, 3, 4])
