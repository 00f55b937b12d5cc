"""Client of the imajin suite: describe a picture, get prompts, get it in every size that a page needs.

    from imajin_client import Client

    with Client() as client:
        description = client.describe("a happy panda", count=1)
        client.generate(description.prompts[0].prompt, seed=7).save("panda.webp")

`AsyncClient` is the same with coroutines. Errors are in `imajin_client.errors`.
"""

from imajin_client.client import AsyncClient
from imajin_client.credentials import Manifest, Mark, Verification
from imajin_client.describing import Classification, Description, Prompt, Reasoning
from imajin_client.drawing import TextOverlay, Watermark
from imajin_client.errors import ImajinError
from imajin_client.health import Health
from imajin_client.images import Image
from imajin_client.job import ImageReady, Job, JobImage
from imajin_client.lease import AsyncLease, Revoke
from imajin_client.model import Model
from imajin_client.processed import Crop, Derivatives, Family, FocalPoint, Page, PageOptions, Processed
from imajin_client.progress import Preview, Progress
from imajin_client.sizing import Plan
from imajin_client.sync import Client, Lease
from imajin_client.vram import Cards, Device, LeaseInfo

__all__ = [
    "AsyncClient",
    "AsyncLease",
    "Cards",
    "Classification",
    "Client",
    "Crop",
    "Derivatives",
    "Description",
    "Device",
    "Family",
    "FocalPoint",
    "Health",
    "Image",
    "ImageReady",
    "ImajinError",
    "Job",
    "JobImage",
    "Lease",
    "LeaseInfo",
    "Manifest",
    "Mark",
    "Model",
    "Page",
    "PageOptions",
    "Plan",
    "Preview",
    "Processed",
    "Progress",
    "Prompt",
    "Reasoning",
    "Revoke",
    "TextOverlay",
    "Verification",
    "Watermark",
]
