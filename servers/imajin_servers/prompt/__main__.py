"""`python -m imajin_servers.prompt` runs the prompt server."""

from imajin_servers.prompt.service import build
from imajin_servers.prompt.settings import PromptSettings
from imajin_servers.runtime.server import run

if __name__ == "__main__":
    run("prompt", PromptSettings, build)
