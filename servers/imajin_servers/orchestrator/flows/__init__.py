"""The flows: one image, one picture in many sizes, and the worker that runs them as jobs."""
