"""First weights: small random matrices, norms that start as the identity, no biases. A function of the seed."""

from __future__ import annotations

import math

import torch

from workbench.model.transformer import Decoder

# The two matrices of a layer whose output is added to the residual stream.
RESIDUAL_PROJECTIONS = ("o_proj.weight", "down_proj.weight")


@torch.no_grad()
def initialise(model: Decoder, seed: int) -> Decoder:
    """Give `model` fresh weights in place, and return it (GPT-2, Radford et al. 2019).

    Matrices are normal with standard deviation `initializer_range`: large enough that positions differ, small
    enough that the first logits are nearly equal, so that training starts from a loss of ln(vocab_size) and
    not from confident nonsense. The 2 L projections that add to the residual stream are divided by sqrt(2 L):
    a sum of 2 L independent terms then has the variance of one, however deep the model.

    The same seed gives the same bits on every device: numbers are drawn on the CPU in float32, in the order
    of `named_parameters`, from a generator of their own. torch's global random state is left alone.
    """
    generator = torch.Generator().manual_seed(seed)
    std = model.config.initializer_range
    residual_std = std / math.sqrt(2 * model.config.num_hidden_layers)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:  # a bias, or the gain of a norm
            parameter.fill_(0.0 if name.endswith(".bias") else 1.0)
        else:
            wanted = residual_std if name.endswith(RESIDUAL_PROJECTIONS) else std
            parameter.copy_(torch.empty(parameter.shape).normal_(0.0, wanted, generator=generator))
    return model
