"""What chance predicts for spikes that are arranged at random: expectations of the measures, and tests of fit."""

from ann2neo.chance.bernoulli import (
    bernoulli_cv,
    bernoulli_cv2,
    bernoulli_fano,
    bernoulli_isi_mean,
    bernoulli_isi_var,
    bernoulli_lv,
)
from ann2neo.chance.continuous import (
    poisson_expected_cv,
    poisson_expected_cv2,
    poisson_expected_fano,
    poisson_expected_isi_mean,
    poisson_expected_isi_var,
    poisson_expected_lv,
    poisson_expected_lvr,
)
from ann2neo.chance.count_expectations import (
    adjust_label_share,
    expected_fano,
    expected_fano_over_passes,
    expected_label_share,
)
from ann2neo.chance.dispersion import dispersion_test, dispersion_test_naive, dispersion_test_poisson
from ann2neo.chance.expectations import (
    expected_cv,
    expected_cv2,
    expected_isi_mean,
    expected_isi_var,
    expected_lv,
    expected_lvr,
)
from ann2neo.chance.isi_law import isi_law_test, isi_law_test_exponential_naive, isi_law_test_poisson
from ann2neo.chance.p_values import false_discovery
from ann2neo.chance.rejection import rejection_rates
from ann2neo.chance.runs import runs_test
from ann2neo.chance.stationarity import stationarity_test, stationarity_test_poisson

__all__ = [
    "adjust_label_share",
    "bernoulli_cv",
    "bernoulli_cv2",
    "bernoulli_fano",
    "bernoulli_isi_mean",
    "bernoulli_isi_var",
    "bernoulli_lv",
    "dispersion_test",
    "dispersion_test_naive",
    "dispersion_test_poisson",
    "expected_cv",
    "expected_cv2",
    "expected_fano",
    "expected_fano_over_passes",
    "expected_isi_mean",
    "expected_isi_var",
    "expected_label_share",
    "expected_lv",
    "expected_lvr",
    "false_discovery",
    "isi_law_test",
    "isi_law_test_exponential_naive",
    "isi_law_test_poisson",
    "poisson_expected_cv",
    "poisson_expected_cv2",
    "poisson_expected_fano",
    "poisson_expected_isi_mean",
    "poisson_expected_isi_var",
    "poisson_expected_lv",
    "poisson_expected_lvr",
    "rejection_rates",
    "runs_test",
    "stationarity_test",
    "stationarity_test_poisson",
]
