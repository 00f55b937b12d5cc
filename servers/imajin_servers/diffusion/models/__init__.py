"""The models: which there are, how each comes into memory and leaves it, and how much of a card it takes."""
