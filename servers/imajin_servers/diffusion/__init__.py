"""The diffusion server: prompts become images, step by step."""
