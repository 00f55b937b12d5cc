"""The data files agree with each other and with CLDR."""

from __future__ import annotations

import pytest
from babel import Locale

from imajin_servers.prompt.classification import Classifier, Query, rules

ENGLISH = Locale.parse("en")
# No people live there, or the code is no country of ISO 3166-1.
UNINHABITED = {
    "AC",
    "AQ",
    "BV",
    "CP",
    "CQ",
    "DG",
    "EA",
    "EU",
    "EZ",
    "GS",
    "HM",
    "IC",
    "IO",
    "QO",
    "TA",
    "TF",
    "UN",
    "XA",
    "XB",
    "ZZ",
}
COUNTRIES = {code for code in ENGLISH.territories if len(code) == 2 and code.isalpha()} - UNINHABITED


def test_there_are_enough_cultures_and_they_are_whole() -> None:
    assert len(rules.cultures()) >= 40
    for culture in rules.cultures().values():
        assert culture.words, culture.name
        assert culture.settings, culture.name
        assert culture.palette, culture.name


def test_every_country_belongs_to_a_culture() -> None:
    covered = {code for culture in rules.cultures().values() for code in culture.territories}
    assert COUNTRIES - covered == set()
    assert covered - COUNTRIES == set()


def test_names_for_people_are_known_to_cldr() -> None:
    for culture in rules.cultures().values():
        kind, _, language = culture.cldr.partition(":")
        assert (language in ENGLISH.languages) if kind == "lang" else (kind in ENGLISH.territories), culture.name


def test_features_speak_for_known_cultures_with_sensible_weights() -> None:
    for rule in rules.features():
        for culture, weight in rule.feature.cultures:
            assert culture in rules.cultures(), rule.feature.name
            # Below the weight of a locale, evidence could lower a confidence.
            assert 0.2 < weight <= 0.9, rule.feature.name


def test_avoidances_name_rules_and_cultures_that_exist() -> None:
    features = {f"{rule.feature.kind}/{rule.feature.name}" for rule in rules.features()}
    for rule in rules.avoidances():
        assert rule.cultures <= set(rules.cultures())
        assert rule.rules <= features, rule.avoidance.say
        assert rule.cultures or rule.rules
        assert rule.avoidance.negative


@pytest.mark.parametrize("locale", ["en", "de", "fr", "es", "it", "ru", "ja", "zh", "ar", "hi", "ko", "th"])
def test_the_names_of_countries_in_many_languages_are_found(classifier: Classifier, locale: str) -> None:
    missed = {
        (code, name)
        for code, name in Locale.parse(locale).territories.items()
        if code in COUNTRIES and not any(e.culture for e in classifier.classify(Query(f"{name}")).evidence)
    }
    # Some names mean something else too often ("Island", "Chili", "Jersey"): see neutral.toml.
    assert len(missed) <= 16, missed
