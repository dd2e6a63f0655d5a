# Scalars and pictures to TensorBoard besides the run's own files; inherit this file beside your config.
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
