"""Run a network in PyTorch as the reference for the graph that is exported from it."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from googlenet_edge.errors import GraphError
from googlenet_edge.graph.session import FloatArray, Images

__all__ = ["TorchRunner"]


class TorchRunner:
    """A :class:`DeployableNetwork` (or anything with its inputs and outputs) in PyTorch, on the CPU."""

    def __init__(self, module: nn.Module, *, threads: int = 2) -> None:
        self._threads = threads
        # Channels last is many times faster on CPUs here, and rounds no worse.
        self._module = copy.deepcopy(module).cpu().eval()
        self._module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.name = f"the network {type(getattr(module, 'network', module)).__name__}"

    def run(self, images: Images) -> tuple[FloatArray, FloatArray]:
        """Return logits and probabilities, float32 (N, classes), of uint8 images (N, H, W, 3), BGR."""
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)  # PyTorch's is one number for the whole process
        try:
            with torch.no_grad():
                result = self._module(torch.from_numpy(np.ascontiguousarray(images)))
        finally:
            torch.set_num_threads(before)
        if not isinstance(result, tuple) or len(result) != 2:
            raise GraphError(
                f"{self.name}: got {type(result).__name__}, expected logits and probabilities; "
                f"wrap it as DeployableNetwork"
            )
        logits, probabilities = (tensor.contiguous().numpy() for tensor in result)
        return logits, probabilities

    def tensors(self, images: Images) -> OrderedDict[str, FloatArray]:
        """Return what every module without children makes, by the module's path, in the order of the calls."""
        seen: OrderedDict[str, FloatArray] = OrderedDict()
        handles = []
        for path, module in self._module.named_modules():
            name = path.removeprefix("network.")
            if name and not [*module.children()]:
                # A module that is called again keeps its first tensor, as its node does in the graph.
                def note(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
                    if isinstance(output, Tensor) and name not in seen:
                        seen[name] = output.detach().contiguous().numpy().copy()

                handles.append(module.register_forward_hook(note))
        try:
            seen["logits"], seen["probabilities"] = self.run(images)
        finally:
            for handle in handles:
                handle.remove()
        seen.move_to_end("logits")
        seen.move_to_end("probabilities")
        return seen
