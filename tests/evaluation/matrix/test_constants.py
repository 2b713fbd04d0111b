"""Protocol 2's constants: whole, within bounds, and named by the bytes of their file."""

import hashlib
import json

import pytest

from spotvortex.errors import ProtocolError
from spotvortex.evaluation.matrix import constants
from tests.evaluation.matrix.small import OF


def changed(tmp_path, change):
    document = json.loads(constants.OWN_PATH.read_text())
    change(document)
    path = tmp_path / "constants.json"
    path.write_text(json.dumps(document))
    return path


def test_the_digest_is_that_of_the_files_bytes():
    assert OF.digest == hashlib.sha256(constants.OWN_PATH.read_bytes()).hexdigest()


def test_the_constants_are_those_that_were_fixed():
    assert (OF.costs.v, OF.costs.cm) == (1.5, 3.0)
    hours = {c.name: c.outage_hours for c in OF.classes}
    assert hours == {"batch": (0.25,), "web": (1.0,), "api": (4.0, 12.0)}
    assert [f.name for f in OF.families] == ["calm", "normal", "stressed", "regional", "replay"]
    assert OF.mixes == ("diurnal", "bursty")
    assert (*OF.validation_seeds.seeds,) == (*range(10),)
    assert (*OF.test_seeds.seeds,) == (*range(100, 130),)
    assert {len(c.instance_types) * len(OF.world.zones) for c in OF.classes} == {12}
    assert [c.share_ratio for c in OF.commitments] == [0.0, 0.3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("gate"), "missing field gate"),
        (lambda d: d["world"].pop("n_days"), "missing field world.n_days"),
        (lambda d: d.update(version=1), "version is 1"),
        (lambda d: d["families"][0].update(market="odd"), "draws from 'odd'"),
        (lambda d: d.update(mixes=["wild"]), "there is no 'wild'"),
        (lambda d: d["test_seeds"].update(first=3), "keep them apart"),
        (lambda d: d["world"].update(notice_loss_ratio=2.0), "from 0 to 1"),
        (lambda d: d["quick"].update(n_seeds=0), "quick.n_seeds is 0"),
        (lambda d: d["rivals"].update(static_setting="x"), "rivals.static_setting"),
        (lambda d: d["classes"][0].update(instance_types=["what"]), "no instance type"),
        (lambda d: d["classes"][0].update(outage_hours=[]), "needs outage_hours"),
        (lambda d: d.update(commitments=[]), "commitments is empty"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_field(tmp_path, change, words):
    with pytest.raises(ProtocolError, match=words):
        constants.load(changed(tmp_path, change))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ProtocolError, match="cannot be read"):
        constants.load(tmp_path / "none.json")
