"""The guide says nothing that does not run: its code, the calls of its page on Elephant; every public name has its page."""

import importlib.util
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import quantities as pq

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "tutorials" / "guide"
PAGES = sorted(path for path in GUIDE.rglob("*.md") if "generated" not in path.parts and path.name != "index.md")
CODE = {
    page: re.findall(
        r"^```(?:python|\{code-cell\})\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    for page in PAGES
}
ELEPHANT = GUIDE / "elephant.md"


def run(page: Path) -> dict:
    """Run all code of a page as a reader would, from top to bottom."""
    space: dict = {"__name__": "__main__"}
    for number, code in enumerate(CODE[page], 1):
        needed = re.match(r"# needs: (\w+)", code)
        if needed and importlib.util.find_spec(needed[1]) is None:
            continue
        exec(compile(code, f"{page.name}, code {number}", "exec"), space)
    return space


@pytest.mark.parametrize("page", [page for page in PAGES if CODE[page]], ids=lambda page: page.stem)
@pytest.mark.filterwarnings("default::ann2neo.errors.Ann2NeoWarning")
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    """Copied from the page into an empty folder, it does what it says."""
    monkeypatch.chdir(tmp_path)
    run(page)


@pytest.fixture(scope="module")
def elephants():
    """What the page about Elephant prepares, and its rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        space = run(ELEPHANT)
    lines = [line for line in ELEPHANT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return space, [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_call_of_the_page_on_elephant_runs(elephants):
    """Both Elephant's and ours; the one that is said to be refused is refused."""
    space, rows = elephants
    assert len(rows) >= 30
    for row in rows:
        call, verdict, text, ours = (row + [""])[:4]
        assert verdict in ("yes", "care", "no"), row
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if "refused" in text:
                with pytest.raises(ValueError, match="variance"):
                    eval(call.strip("`"), dict(space))
            else:
                assert eval(call.strip("`"), dict(space)) is not None
            if ours.strip(" |"):
                assert eval(ours.strip("`| "), dict(space)) is not None


def test_what_the_page_on_elephant_claims_is_so(elephants):
    """The sentences behind its verdicts, each measured."""
    space, _ = elephants
    trains, recording, statistics = space["trains"], space["recording"], space["statistics"]
    spikes = recording.layers[0].raster.dense()
    assert np.array_equal(space["binned"].to_bool_array(), spikes)
    counts = spikes.sum(1)
    assert statistics.fanofactor(trains) == pytest.approx(counts.var() / counts.mean())
    assert statistics.lvr(space["isi"]) > 2
    assert statistics.lvr(space["isi"], R=0 * pq.ms) == pytest.approx(statistics.lv(space["isi"]))
    tiling = space["spike_train_correlation"].spike_time_tiling_coefficient
    dense = sorted(trains, key=len)[-2:]
    assert tiling(*dense) > 0.9 > 0.3 > tiling(*dense, dt=0.5 * pq.ms)
    cost = space["spike_train_dissimilarity"].victor_purpura_distance(trains[:2], cost_factor=2 * pq.kHz)[0, 1]
    assert cost == (spikes[0] != spikes[1]).sum()


@pytest.mark.parametrize("name", ["dither_spikes", "randomise_spikes", "jitter_spikes"])
def test_surrogates_in_time_leave_the_bins(elephants, name):
    """Two spikes of a unit in one input; those that are said to keep one per bin do."""
    space, _ = elephants
    train, surrogates = space["train"], space["spike_train_surrogates"]
    np.random.seed(0)  # noqa: NPY002 - Elephant draws from the global state
    options = {"dither_spikes": {"dither": 5 * pq.ms}, "jitter_spikes": {"bin_size": 10 * pq.ms}}.get(name, {})
    (moved,) = getattr(surrogates, name)(train, n_surrogates=1, **options)
    bins = np.floor(moved.rescale("ms").magnitude).astype(int)
    assert len(set(bins)) < len(train)
    (shuffled,) = surrogates.shuffle_isis(train, n_surrogates=1)
    assert len(set(np.floor(shuffled.rescale("ms").magnitude).astype(int))) == len(train)


def test_every_public_name_has_its_place_in_the_reference(tmp_path):
    """A name that is forgotten fails the build; so does one that is gone."""
    sys.path.insert(0, str(GUIDE))
    import sources

    sources.write(tmp_path / "generated")
    pages = "".join(path.read_text() for path in (tmp_path / "generated" / "reference").glob("*.rst"))
    import ann2neo

    assert all(f"ann2neo.{name}" in pages for name in ann2neo.__all__)
    columns = (tmp_path / "generated" / "columns.md").read_text()
    assert "`label_share_adjusted`" in columns
    assert "`overdispersion_p`" in columns
