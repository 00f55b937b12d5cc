"""`imajin up`: starts the suite, keeps it running, stops it.

raise typer.Exit(run_up(given, only=["vram", "diffusion"]))         # the command, on the terminal

status = await supervise(UpSettings(), on_change=show)              # the supervisor alone; `show` gets every state
"""

from imajin_client.up.running import run_up
from imajin_client.up.settings import UpSettings
from imajin_client.up.state import Phase, ServerState
from imajin_client.up.supervisor import supervise

__all__ = ["Phase", "ServerState", "UpSettings", "run_up", "supervise"]
