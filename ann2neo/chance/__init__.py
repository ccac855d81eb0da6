r"""What chance predicts for spikes that are arranged at random: expectations of the measures, and tests of fit.

How often each test rejects at a nominal 5 % where chance is true (in %; 4,000 simulated Bernoulli units of 1,797 bins with p spikes per bin; the sampling error of
such a figure is 0.7; `rejection_rates` makes the table anew):

===== ================== ================ ===== ======= ============ ================ =================
p     dispersion, 10     dispersion, 18   runs  ISI law stationarity naive dispersion naive exponential
      unequal windows    equal windows                               (10 windows)
===== ================== ================ ===== ======= ============ ================ =================
0.002 4.9                0.8              0.8   4.4     4.9          1.7              0.0
0.005 5.0                3.2              1.4   5.1     5.0          3.1              0.4
0.01  4.7                4.5              1.6   4.7     5.1          3.5              0.4
0.02  5.0                5.1              2.4   5.0     5.0          4.5              0.5
0.05  4.8                4.9              4.9   5.1     4.8          4.3              1.3
0.1   5.5                5.1              5.2   4.7     5.6          5.2              47
0.2   5.0                5.2              4.7   4.7     4.8          5.9              100
0.5   5.4                5.2              4.9   4.8     5.1          21               100
0.8   5.0                5.1              4.5   5.1     4.7          87               100
0.9   4.9                4.7              4.6   4.9     5.1          100              100
0.95  5.1                4.2              4.3   4.9     4.7          100              100
0.98  4.8                4.8              2.4   4.9     4.9          100              100
===== ================== ================ ===== ======= ============ ================ =================

The sound tests are never above their level beyond sampling error, and are conservative at the ends, where a statistic has very few possible values. The naive tests of
the literature (counts against Poisson, intervals against the exponential law) are offered for comparison and named so.
"""

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
    GroupSizes,
    adjust_label_share,
    expected_fano,
    expected_fano_of_groups,
    expected_fano_of_passes,
    expected_fano_over_passes,
    expected_label_share,
)
from ann2neo.chance.dispersion import (
    dispersion_test,
    dispersion_test_naive,
    dispersion_test_poisson,
    overdispersion_test,
    overdispersion_test_poisson,
)
from ann2neo.chance.expectations import (
    expected_cv,
    expected_cv2,
    expected_isi_mean,
    expected_isi_var,
    expected_lv,
    expected_lvr,
)
from ann2neo.chance.input_dispersion import input_dispersion_tests
from ann2neo.chance.inputs import (
    expected_fano_of_inputs,
    expected_label_shares_of_inputs,
    has_repeats,
    label_share_of_inputs,
)
from ann2neo.chance.isi_law import isi_law_test, isi_law_test_exponential_naive, isi_law_test_poisson
from ann2neo.chance.p_values import false_discovery
from ann2neo.chance.rejection import rejection_rates
from ann2neo.chance.runs import runs_test
from ann2neo.chance.stationarity import stationarity_test, stationarity_test_poisson

__all__ = [
    "GroupSizes",
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
    "expected_fano_of_groups",
    "expected_fano_of_passes",
    "expected_fano_of_inputs",
    "expected_fano_over_passes",
    "expected_isi_mean",
    "expected_isi_var",
    "expected_label_share",
    "expected_label_shares_of_inputs",
    "expected_lv",
    "expected_lvr",
    "false_discovery",
    "has_repeats",
    "input_dispersion_tests",
    "isi_law_test",
    "isi_law_test_exponential_naive",
    "isi_law_test_poisson",
    "label_share_of_inputs",
    "overdispersion_test",
    "overdispersion_test_poisson",
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
