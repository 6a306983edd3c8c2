"""Measuring: how fast a training step is beside what the machine can do, and how fast others get there.

Craft, above `evals`: it drives the real loop, loader, loss and optimizers, and other people's model code from
the user's own checkout. Every row is measured in a process of its own, so that no row pays for another's memory.
Knows no recipe, no run and no terminal.
"""
