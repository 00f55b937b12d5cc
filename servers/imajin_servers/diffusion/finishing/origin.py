"""Where a picture comes from: what its manifest says, and the id in its invisible mark."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imajin_servers.diffusion.orders import Order

NO_MATTER = {"preview_interval", "priority", "deadline"}
"""What of an order leaves the picture as it is."""


@dataclass(frozen=True)
class Origin:
    """The model that drew a picture, the prompt that it drew from, and the picture's id, 8 hexadecimal digits."""

    model: str
    prompt: str
    content_id: str
    composite: bool = False
    """Whether it was drawn from a picture that somebody brought."""


def origin(order: Order) -> Origin:
    """The origin of what `order` asks for. Equal orders have equal ids, so that equal orders make equal pixels."""
    said = {key: value for key, value in asdict(order).items() if key not in NO_MATTER} | {"model": order.model.name}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()
    return Origin(order.model.name, order.prompt, digest[:8], order.source is not None)
