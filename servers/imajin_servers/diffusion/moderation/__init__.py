"""What isn't drawn: rules over prompts before, a classifier of images after."""

from imajin_servers.diffusion.moderation.images import Images, Verdict
from imajin_servers.diffusion.moderation.prompts import Prompts

__all__ = ["Images", "Prompts", "Verdict"]
