"""Training: one loop, and the objectives, optimizers, schedules and watchers it is given."""
