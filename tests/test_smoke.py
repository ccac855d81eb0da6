"""The script that tries a new installation works in this one."""

import smoke


def test_a_new_installation_does_what_it_has_to(tmp_path):
    """Every verb runs, from recording to sharing, and each says so."""
    done = list(smoke.main(tmp_path))
    assert len(done) == 7
    assert done[0].startswith("recorded 3")
    assert "numpy" in smoke.versions()
