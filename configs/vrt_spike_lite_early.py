"""The light student with early fusion: four sub-frames of spikes are fused into every blurred frame before VRTLite.

python tools/train.py configs/vrt_spike_lite_early.py

`output='expanded'` gives the backbone all sub-frames as frames. Other operators: TemporalCrossAttention,
SelectiveScanFusion, and PixelAdaptiveFusion with `subframes=1`.
"""

_base_ = './vrt_spike_lite.py'
model = dict(
    start='blur',
    fusion=None,
    early_fusion=dict(
        type='EarlyFusion', operator=dict(type='GatedFusion'), bins=16, subframes=4, channels=16, output='collapsed'
    ),
)
