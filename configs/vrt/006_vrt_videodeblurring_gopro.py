r"""VRT for video deblurring, trained on GoPro.

Published: 34.81 dB PSNR, 0.9724 SSIM. The released weights are under CC BY-NC.

python tools/train.py configs/vrt/006_vrt_videodeblurring_gopro.py \
    --cfg-options data.type=ProcessedClips data.root=/path/to/gopro

The folder holds {train,val}/SEQUENCE/{blur,sharp}/FRAME.png; spikes are not needed.
"""

_base_ = '../_base_/vrt_deblur.py'
