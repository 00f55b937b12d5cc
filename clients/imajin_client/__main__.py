"""`python -m imajin_client` is the `imajin` command."""

from imajin_client.command import main

main()
