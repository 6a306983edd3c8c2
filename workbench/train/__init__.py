"""Training: the loop, its schedule, losses and optimizers, checkpoints and the machine it runs on.

Knows tensors and steps; knows no recipe and no run.
"""
