"""Which sizes there are, and from which bases they are cut."""
