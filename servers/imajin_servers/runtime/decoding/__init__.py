"""Images that come in as files: read block by block, refused or stripped, and only then decoded.

For every server that takes images. A decoder sees no file that wasn't looked at, and no metadata.
"""
