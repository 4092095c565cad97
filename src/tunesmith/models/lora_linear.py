"""The forward and backward pass of a linear layer with an adapter, without the detours of the general one.

PEFT's layer converts its input to the adapter's float32 and keeps several copies for the backward pass. With a frozen
base, no dropout and no DoRA the whole layer is y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ, whose gradients fit on a few lines; everything
is multiplied in the type of the base, and the gradients of A and B are summed in the adapter's float32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F


class LoraLinear(torch.autograd.Function):
    """x (..., in), weight (out, in), bias (out,) or None, a (rank, in), b (out, rank) -> (..., out)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """Base product plus the low-rank update; keeps x, x·Aᵀ and the small matrices."""
        low_a, low_b = a.to(x.dtype), b.to(x.dtype)
        flat = x.reshape(-1, x.shape[-1])
        inner = F.linear(flat, low_a)
        out = F.linear(flat, weight, bias).addmm_(inner, low_b.t(), alpha=scale)
        ctx.save_for_backward(flat, inner, weight, low_a, low_b)
        ctx.scale, ctx.adapter_dtype = scale, a.dtype
        return out.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        """dx = g·W + s·(g·B)·A; dA = s·(g·B)ᵀ·x; dB = s·gᵀ·(x·Aᵀ). The base gets none: it is frozen."""
        x, inner, weight, a, b = ctx.saved_tensors
        shape = (*grad.shape[:-1], x.shape[-1])
        grad = grad.reshape(-1, grad.shape[-1])
        inner_grad = grad @ b
        x_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = (grad @ weight).addmm_(inner_grad, a, alpha=ctx.scale).view(shape)
        a_grad = (inner_grad.t() @ x).to(ctx.adapter_dtype).mul_(ctx.scale)
        b_grad = (grad.t() @ inner).to(ctx.adapter_dtype).mul_(ctx.scale)
        return x_grad, None, None, a_grad, b_grad, None


def speed_up(model: torch.nn.Module) -> int:
    """Give every plain LoRA layer of a PEFT model the pass above; returns how many. Others keep PEFT's own."""
    from peft.tuners.lora.layer import Linear

    layers = [module for module in model.modules() if type(module) is Linear and _is_plain(module)]
    for layer in layers:
        layer.forward = _forward_of(layer)
    return len(layers)


def _is_plain(layer: Any) -> bool:
    base = layer.get_base_layer()
    return (
        list(layer.lora_A) == ["default"]
        and isinstance(layer.lora_dropout["default"], torch.nn.Identity)
        and not layer.lora_variant
        and type(base) is torch.nn.Linear
        and not base.weight.requires_grad
        and layer.lora_B["default"].bias is None
    )


def _forward_of(layer: Any) -> Any:
    base, a, b = layer.get_base_layer(), layer.lora_A["default"], layer.lora_B["default"]
    general = type(layer).forward

    def forward(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        # Switched off, merged, another adapter chosen, adapters by row: PEFT knows.
        usual = not (layer.disable_adapters or layer.merged or args or kwargs)
        if not usual or layer.active_adapter not in ("default", ["default"]):
            return general(layer, x, *args, **kwargs)
        return LoraLinear.apply(x, base.weight, base.bias, a.weight, b.weight, layer.scaling["default"])

    return forward
