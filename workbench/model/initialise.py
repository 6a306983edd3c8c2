"""First weights: small random matrices, norms that start as the identity, no biases. A function of the seed."""

from __future__ import annotations

import torch

from workbench.model.parametrization import Initializer, initial_std
from workbench.model.transformer import Decoder


@torch.no_grad()
def initialise(model: Decoder, seed: int, *, initializer: Initializer = "gpt2") -> Decoder:
    """Give `model` fresh weights in place, and return it.

    Matrices are normal, with the standard deviation that `initial_std` gives. Training starts from a loss of
    ln(vocab_size) and not from confident nonsense.

    The same seed gives the same bits on every device: numbers are drawn on the CPU in float32, in the order
    of `named_parameters`, from a generator of their own. torch's global random state is left alone.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:  # a bias, or the gain of a norm
            parameter.fill_(0.0 if name.endswith(".bias") else 1.0)
        else:
            std = initial_std(model.config, name, parameter, initializer=initializer)
            parameter.copy_(torch.empty(parameter.shape).normal_(0.0, std, generator=generator))
    return model
