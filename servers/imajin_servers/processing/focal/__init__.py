"""Where the subject of an image is: faces, then the salient region, then the centre."""
