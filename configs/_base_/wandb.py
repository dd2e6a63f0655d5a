# Scalars and pictures to Weights & Biases besides the run's own files; `wandb login` first, or WANDB_MODE=offline.
visualizer = dict(
    type='Visualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
        dict(type='WandbVisBackend', init_kwargs=dict(project='vrtspike')),
    ],
)
