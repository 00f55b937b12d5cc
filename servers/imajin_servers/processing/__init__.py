"""The processing server: images that exist become the images that a page needs."""
