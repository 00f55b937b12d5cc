"""How a model's pipeline is driven: step by step where its family is known, whole otherwise."""

from imajin_servers.diffusion.pipelines.choice import wrap
from imajin_servers.diffusion.pipelines.run import Conditioning, Run
from imajin_servers.diffusion.pipelines.stepwise import Stepwise
from imajin_servers.diffusion.pipelines.whole import Whole

__all__ = ["Conditioning", "Run", "Stepwise", "Whole", "wrap"]
