"""Cultural classification by rules. The rules are the data files beside this package; the code only finds and weighs."""

from imajin_servers.prompt.classification.classifier import Classifier
from imajin_servers.prompt.classification.findings import (
    Avoidance,
    Classification,
    Evidence,
    Feature,
    FoundCulture,
    Query,
)

__all__ = ["Avoidance", "Classification", "Classifier", "Evidence", "Feature", "FoundCulture", "Query"]
