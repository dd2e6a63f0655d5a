"""VRT for x4 super-resolution of bicubically reduced video, trained on 6 frames of REDS.

Published on REDS4: 31.60 dB PSNR, 0.8888 SSIM.
The released weights are under CC BY-NC.

This config has no data and no schedule: it is for restoring and for --load-from.
"""

_base_ = '../_base_/models/vrt_super_resolution.py'
default_scope = 'vrtspike'
