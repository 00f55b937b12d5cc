"""Small pictures of work in progress, made out of latents."""

from imajin_servers.diffusion.previews.previewer import Previewer, jpeg
from imajin_servers.diffusion.previews.projection import Fit

__all__ = ["Fit", "Previewer", "jpeg"]
