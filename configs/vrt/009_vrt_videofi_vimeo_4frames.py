"""VRT for frame interpolation, the middle one of four frames, trained on Vimeo-90K.

Published on Vimeo-90K-T: 36.53 dB PSNR, 0.977 SSIM.
The released weights are under CC BY-NC.

This config has no data and no schedule. Call its network in Python: it returns one frame for four.
"""

_base_ = '../_base_/models/vrt_deblur.py'
default_scope = 'vrtspike'
model = dict(
    backbone=dict(img_size=[4, 192, 192], window_size=[4, 8, 8], indep_reconsts=[], pa_frames=0),
)
