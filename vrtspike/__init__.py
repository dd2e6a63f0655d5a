"""vrtspike: video-deblurring transformers fusing blurred RGB frames with spike-camera streams."""

__version__ = '0.1.0'
