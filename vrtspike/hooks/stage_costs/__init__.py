"""What :class:`~vrtspike.hooks.StageCostHook` makes of its samples, one output to a file."""
