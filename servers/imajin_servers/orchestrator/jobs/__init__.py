"""Jobs: their store, their images, and those who watch them."""
