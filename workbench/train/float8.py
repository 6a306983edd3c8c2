"""Matrix products in float8, by torchao: twice bfloat16's speed on GPUs of Ada's and Hopper's generation and later.

Weights stay what they are. Input, weight and gradient of a product are scaled by their largest value and rounded to
8 bits each time (Micikevicius et al. 2022): 4 bits of exponent and 3 of mantissa, 5 and 2 for gradients.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from workbench.errors import BadInput
from workbench.hardware import require_float8_of

SIDE_MULTIPLE = 16
"""What both sides of a matrix must be a multiple of."""


def require_float8(device: torch.device) -> None:
    """Raise BadInput when `device` has no float8 products."""
    if device.type == "cuda":
        require_float8_of(torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device))
    else:
        require_float8_of("the CPU", (0, 0))


def use_float8(layers: nn.Module, *, emulate: bool = False, only_learning: bool = False) -> None:
    """Make every matrix in `layers` whose sides allow it compute in float8, with the parameters it has.

    only_learning: where gradients are asked for; what measures computes as before. emulate: compute the same rounding
    in float32, on any device; slow, to test with. Raises BadInput without torchao.
    """
    try:
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
        from torchao.float8.float8_linear import Float8Linear
    except ImportError:
        raise BadInput(
            'dtype = "float8" needs torchao, which is not installed',
            fix="pip install 'torchao>=0.18,<0.19', or use dtype = \"auto\"",
        ) from None
    convert_to_float8_training(
        layers, module_filter_fn=_has_fitting_sides, config=Float8LinearConfig(emulate=emulate)
    )
    if only_learning:
        for module in layers.modules():
            if isinstance(module, Float8Linear):
                plain = nn.Linear.forward.__get__(module)
                module.forward = functools.partial(_one_of, module.forward, plain)


def _one_of(learning: Callable[[Tensor], Tensor], measuring: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return (learning if torch.is_grad_enabled() else measuring)(x)


def _has_fitting_sides(module: nn.Module, name: str) -> bool:
    assert isinstance(module, nn.Linear)
    return module.in_features % SIDE_MULTIPLE == 0 and module.out_features % SIDE_MULTIPLE == 0
