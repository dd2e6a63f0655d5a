"""vrtspike: video-deblurring transformers fusing blurred RGB frames with spike-camera streams."""

__version__ = '0.1.0'


def __getattr__(name: str) -> object:
    """Import what needs torch when it is first used: ``vrtspike.restore``, ``vrtspike.StageProfiler``."""
    if name == 'restore':
        from vrtspike.inference.restoring import restore

        return restore
    if name == 'StageProfiler':
        from vrtspike.benchmarking.stage_profiler import StageProfiler

        return StageProfiler
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
