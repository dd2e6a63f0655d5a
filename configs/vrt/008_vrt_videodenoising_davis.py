"""VRT for video denoising of known noise level (the fourth channel), trained on DAVIS.

Published on DAVIS at sigma 10 and 20: 40.82 and 38.15 dB PSNR. The released weights are under CC BY-NC.

This config has no data and no schedule. Call its network in Python: no data set and no command gives the noise level.
"""

_base_ = '../_base_/models/vrt_deblur.py'
default_scope = 'vrtspike'
model = dict(backbone=dict(nonblind_denoising=True))
