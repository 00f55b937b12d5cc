"""What the rules make of telling descriptions, false friends among them."""

from __future__ import annotations

import pytest

from imajin_servers.prompt.classification import Classifier, Query

FIRST_CULTURE = [
    ("A woman in a kimono under cherry blossom in Kyoto", "japanese"),
    ("着物を着た女性", "japanese"),
    ("大阪でラーメンを食べる", "japanese"),
    ("दिवाली पर दीये जलाता परिवार", "north-indian"),
    ("한복을 입은 여자", "korean"),
    ("中国的长城", "chinese"),
    ("عشاء في السعودية", "arab-gulf"),
    ("חנוכה בבית", "jewish"),
    ("борщ и вареники", "ukrainian"),
    ("สงกรานต์ที่กรุงเทพ", "thai"),
    ("eine japanische Gartenlaube", "japanese"),
    ("une famille japonaise", "japanese"),
    ("una bailarina española", "spanish"),
    ("wesele w Polsce, polska kapela", "polish"),
    ("Ein Markt in Ägypten", "egyptian"),
    ("un pêcheur du Sénégal", "west-african"),
    ("Nigerian wedding with jollof rice", "nigerian"),
    ("DIA DE LOS MUERTOS ofrenda", "mexican"),
    ("Día de los Muertos", "mexican"),
    ("a kilted piper on the Isle of Skye", "scottish"),
    ("grandmother making pierogies", "polish"),
    ("Māori carver at the marae", "maori"),
    ("a samoan family on the beach", "polynesian"),
    ("market day in Peru", "andean"),
    ("a train station in Kenya", "east-african"),
    ("St. Patrick's Day parade", "irish"),
    ("US astronaut", "american"),
    ("injera and coffee ceremony", "ethiopian"),
    ("a Polish wedding", "polish"),
    ("holiday in Turkey", "turkish"),
    ("a street in China", "chinese"),
    ("native american dancer at a powwow", "native-american"),
    ("ｋｉｍｏｎｏ", "japanese"),
    ("KIMONOS on a rack", "japanese"),
]

NO_CULTURE = [
    "a happy panda eating watermelon",
    "a china plate on a shelf",
    "two china plates",
    "bone china tea set",
    "turkey sandwich",
    "a turkey in the yard",
    "polish the table",
    "red nail polish",
    "Indian summer in the woods",
    "a swiss army knife",
    "french fries with ketchup",
    "my german shepherd puppy",
    "a guinea pig in a jersey shirt",
    "brussels sprouts",
    "a tropical island",
    "chili pepper",
    "a man named Maurice",
    "tell us a story",
    "blue suede shoes",
    "an indie band",
    "she fines the driver",
    "shark fins",
    "pastel colours",
    "",
    "   ",
    "no kimono, please",
]


@pytest.mark.parametrize(("description", "culture"), FIRST_CULTURE)
def test_the_culture_that_is_meant_comes_first(classifier: Classifier, description: str, culture: str) -> None:
    found = classifier.classify(Query(description))
    assert found.cultures, "nothing was found"
    assert found.cultures[0].name == culture
    assert found.cultures[0].confidence >= 0.35


@pytest.mark.parametrize("description", NO_CULTURE)
def test_words_that_only_look_like_a_culture_speak_for_none(classifier: Classifier, description: str) -> None:
    assert classifier.classify(Query(description)).cultures == ()


def test_features_are_found_beside_the_culture(classifier: Classifier) -> None:
    found = classifier.classify(Query("Edo period samurai at a tea ceremony in a shinto shrine, kimono, sushi"))
    assert {"tea-ceremony"} == {feature.name for feature in found.of("occasions")}
    assert "kimono" in {feature.name for feature in found.of("attire")}
    assert "sushi" in {feature.name for feature in found.of("food")}
    assert "shrine" in {feature.name for feature in found.of("places")}
    assert "edo-period" in {feature.name for feature in found.of("periods")}
    assert found.languages[0] == "ja"


def test_evidence_names_words_rule_and_weight(classifier: Classifier) -> None:
    (evidence,) = classifier.classify(Query("the Hanbok")).evidence
    assert (evidence.words, evidence.rule, evidence.culture) == ("Hanbok", "attire/hanbok", "korean")
    assert evidence.weight == pytest.approx(0.85)


def test_sacred_things_are_avoided_before_stereotypes(classifier: Classifier) -> None:
    found = classifier.classify(Query("a fashion model in a war bonnet"))
    assert "war bonnets" in found.avoid[0].say
    assert found.avoid[0].negative


def test_a_region_filter_decides(classifier: Classifier) -> None:
    found = classifier.classify(Query("a wedding with sushi", region="Morocco"))
    assert found.cultures[0].name == "maghrebi"
    assert found.cultures[0].confidence > 0.95


def test_a_region_may_be_an_iso_code(classifier: Classifier) -> None:
    assert classifier.classify(Query("a wedding", region="jp")).cultures[0].name == "japanese"


def test_the_locale_is_a_hint_where_the_words_say_nothing(classifier: Classifier) -> None:
    (hinted,) = classifier.classify(Query("a wedding", locale="hi-IN")).cultures
    assert hinted.name == "north-indian"
    assert 0.35 <= hinted.confidence < 0.5
    (weaker,) = classifier.classify(Query("a bicycle", locale="de-AT")).cultures
    assert weaker.confidence < 0.35
    assert [culture.name for culture in classifier.classify(Query("a Mexican wedding", locale="de-AT")).cultures] == [
        "mexican"
    ]


@pytest.mark.parametrize(
    ("locale", "name"),
    [("", "Japan"), ("de-AT", "Japan"), ("fr", "Japon"), ("ja_JP", "日本"), ("xx-unknown", "Japan"), ("x", "Japan")],
)
def test_names_for_people_are_in_the_readers_language(classifier: Classifier, locale: str, name: str) -> None:
    assert classifier.classify(Query("kimono", locale=locale)).cultures[0].display_name == name
