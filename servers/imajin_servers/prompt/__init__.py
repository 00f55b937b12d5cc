"""The prompt server: a description in, cultural classification and prompts out."""
