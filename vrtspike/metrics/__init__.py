"""Image quality: PSNR, SSIM and LPIPS, and how clips are scored with them."""

from vrtspike.metrics.frames import luma, playback_frames, to_uint8_frames
from vrtspike.metrics.psnr_ssim import psnr, ssim
from vrtspike.metrics.restoration import RestorationQuality, clip_name, clip_quality, file_stem, finite_psnr

__all__ = [
    'RestorationQuality',
    'clip_name',
    'clip_quality',
    'file_stem',
    'finite_psnr',
    'luma',
    'playback_frames',
    'psnr',
    'ssim',
    'to_uint8_frames',
]
