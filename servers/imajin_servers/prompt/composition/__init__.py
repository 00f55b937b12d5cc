"""From a classified description to prompts. The rules say what may be chosen; a model, or chance, chooses."""

from imajin_servers.prompt.composition.brief import Brief, Shot, ShotChoices, brief_of
from imajin_servers.prompt.composition.prompts import Prompt, adopted, composed

__all__ = ["Brief", "Prompt", "Shot", "ShotChoices", "adopted", "brief_of", "composed"]
