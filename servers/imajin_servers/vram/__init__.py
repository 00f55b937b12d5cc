"""The vram server: who may use how much of which card."""
