r"""What chance predicts for spikes that are arranged at random: expectations of the measures, and tests of fit.

How often each test rejects at a nominal 5 % where chance is true, in % of 2,000 simulated units (sampling error 0.5; 0.2 at 1 %). ``excess`` is the one-sided
test of dispersion. Bins: 1,200, with p spikes per bin. Time: about 240 spikes. Passes, steps: 200 inputs with 5 passes, 6 steps or 1 to 11 steps, whose rates
differ from input to input in the tests over labels and not in the others. Segments as trials: 200 of equal duration; unequal durations: 200 trials that last 0.2 to 1.8 units of
time; about 240 spikes, at a rate of each trial's own in the tests over labels and of a trend. ``python -m ann2neo.chance.levels`` prints the table:

=============================== ============ ======== ============= ====== ========= ==============
shape of data                   dispersion   excess   excess, 1 %   runs   ISI law   stationarity
=============================== ============ ======== ============= ====== ========= ==============
2 windows of bins, p 0.01       2.8          4.3      1.0           1.1    4.3       5.2
2 windows of bins, p 0.2        2.4          5.1      1.1           4.1    4.5       5.0
2 windows of bins, p 0.8        2.3          4.9      0.9           4.8    5.2       4.9
3 windows of bins, p 0.01       2.5          5.2      0.8           1.1    5.2       5.5
3 windows of bins, p 0.2        3.8          5.0      1.1           4.6    4.6       5.1
3 windows of bins, p 0.8        3.2          4.1      0.9           5.2    5.1       4.6
4 windows of bins, p 0.01       2.5          4.3      0.8           1.0    5.8       5.0
4 windows of bins, p 0.2        4.3          4.7      0.9           4.3    4.3       4.6
4 windows of bins, p 0.8        5.1          5.1      1.1           4.8    4.9       4.6
5 windows of bins, p 0.01       3.4          5.1      1.3           1.5    5.6       5.0
5 windows of bins, p 0.2        4.5          6.1      1.1           5.0    3.6       4.8
5 windows of bins, p 0.8        4.9          4.6      0.9           4.7    5.0       5.0
6 windows of bins, p 0.01       2.6          4.5      0.7           1.6    3.8       4.2
6 windows of bins, p 0.2        5.9          5.9      1.2           4.9    5.1       6.0
6 windows of bins, p 0.8        4.5          4.9      0.8           6.1    5.2       4.6
10 windows of bins, p 0.01      3.8          4.8      1.1           1.1    5.0       5.1
10 windows of bins, p 0.2       5.0          5.1      0.9           5.0    4.5       5.4
10 windows of bins, p 0.8       4.4          5.1      1.1           4.7    5.5       4.5
100 windows of bins, p 0.01     2.8          5.1      1.1           1.3    4.9       4.8
100 windows of bins, p 0.2      4.9          5.0      1.1           4.3    5.3       5.0
100 windows of bins, p 0.8      5.1          5.0      1.1           5.2    5.0       5.6
2 windows of time               2.5          5.5      0.9           -      5.8       0.0
3 windows of time               5.2          4.9      0.9           -      5.3       0.0
4 windows of time               3.9          4.0      0.8           -      5.2       0.0
5 windows of time               5.4          5.2      0.9           -      5.6       3.5
6 windows of time               5.5          5.8      1.1           -      4.8       5.4
10 windows of time              4.6          4.4      0.9           -      5.1       4.1
100 windows of time             4.5          5.5      1.1           -      4.9       4.9
passes, 2 labels                2.4          5.1      1.1           5.3    5.8       5.6
passes, 10 labels               4.9          5.6      1.1           5.3    5.7       5.1
steps, 2 labels                 2.6          5.5      1.2           4.0    2.9       4.3
steps, 10 labels                5.1          5.1      1.1           5.0    3.8       4.8
ragged steps, 2 labels          5.7          5.0      0.9           4.6    3.9       4.9
ragged steps, 10 labels         4.6          4.8      0.8           5.5    5.0       5.3
segments as trials, 2 labels    2.2          4.7      0.9           -      3.0       4.9
segments as trials, 10 labels   4.8          4.5      1.0           -      3.5       5.5
unequal durations, 2 labels     4.7          4.6      0.9           -      3.7       4.3
unequal durations, 10 labels    5.1          4.6      0.9           -      4.3       4.7
=============================== ============ ======== ============= ====== ========= ==============

No test is above its level beyond sampling error, but the law of intervals over ragged steps in larger samples: 6.2 +- 0.3 % at 5 %, 1.0 % at 1 %. Those of dispersion (two-sided, the observed value counted whole below) and of runs are below it where a
statistic has few possible values: few windows, few spikes; so is that of a trend over fewer than five windows of time, which have too few orders for any p value of 5 %, and that of
intervals over many short stretches. With a handful of spikes the mid-p value of the excess can exceed a level by half of the chance of
one value.

The naive tests of the literature (counts against Poisson, intervals against the exponential law) are offered for comparison and named so: on bins they reject
21 and 87 % of random units at 0.5 and 0.8 spikes per bin (counts in ten windows), and all from 0.2 on (intervals); see `rejection_rates`.
"""

from ann2neo.chance.activation import expected_gini, expected_rare_share, gini
from ann2neo.chance.bernoulli import (
    bernoulli_cv,
    bernoulli_cv2,
    bernoulli_fano,
    bernoulli_isi_mean,
    bernoulli_isi_var,
    bernoulli_lv,
)
from ann2neo.chance.count_expectations import (
    GroupSizes,
    adjust_label_share,
    expected_fano,
    expected_fano_of_groups,
    expected_fano_of_passes,
    expected_label_share,
)
from ann2neo.chance.dispersion import (
    dispersion_test,
    dispersion_test_naive,
    dispersion_tests,
    overdispersion_test,
)
from ann2neo.chance.expectations import (
    expected_cv,
    expected_cv2,
    expected_ir,
    expected_isi_mean,
    expected_isi_var,
    expected_lv,
    expected_lvr,
    poisson_expected_cv,
    poisson_expected_cv2,
    poisson_expected_ir,
    poisson_expected_isi_mean,
    poisson_expected_isi_var,
    poisson_expected_lv,
    poisson_expected_lvr,
)
from ann2neo.chance.input_dispersion import input_dispersion_tests
from ann2neo.chance.inputs import (
    expected_fano_of_inputs,
    expected_label_shares_of_inputs,
    has_repeats,
    label_share_of_inputs,
)
from ann2neo.chance.isi_law import isi_law_test, isi_law_test_exponential_naive, isi_law_test_poisson
from ann2neo.chance.label_rates import sd_of_dealt_rates
from ann2neo.chance.p_values import false_discovery
from ann2neo.chance.rejection import rejection_rates
from ann2neo.chance.runs import runs_test
from ann2neo.chance.sequences import (
    DRAWS,
    can_exchange,
    exchanged_labels,
    expected_fano_of_sequences,
    expected_label_share_of_sequences,
    mean_of_sequences,
    sequence_dispersion_tests,
    variance_of_sequences,
)
from ann2neo.chance.stationarity import stationarity_test, stationarity_test_poisson

__all__ = [
    "DRAWS",
    "GroupSizes",
    "adjust_label_share",
    "bernoulli_cv",
    "bernoulli_cv2",
    "bernoulli_fano",
    "bernoulli_isi_mean",
    "bernoulli_isi_var",
    "bernoulli_lv",
    "can_exchange",
    "dispersion_test",
    "dispersion_test_naive",
    "dispersion_tests",
    "exchanged_labels",
    "expected_cv",
    "expected_cv2",
    "expected_fano",
    "expected_fano_of_groups",
    "expected_fano_of_passes",
    "expected_fano_of_inputs",
    "expected_fano_of_sequences",
    "expected_gini",
    "expected_ir",
    "expected_isi_mean",
    "expected_isi_var",
    "expected_label_share",
    "expected_label_share_of_sequences",
    "expected_label_shares_of_inputs",
    "expected_lv",
    "expected_lvr",
    "expected_rare_share",
    "false_discovery",
    "gini",
    "has_repeats",
    "input_dispersion_tests",
    "isi_law_test",
    "isi_law_test_exponential_naive",
    "isi_law_test_poisson",
    "label_share_of_inputs",
    "mean_of_sequences",
    "overdispersion_test",
    "poisson_expected_cv",
    "poisson_expected_cv2",
    "poisson_expected_ir",
    "poisson_expected_isi_mean",
    "poisson_expected_isi_var",
    "poisson_expected_lv",
    "poisson_expected_lvr",
    "rejection_rates",
    "runs_test",
    "sd_of_dealt_rates",
    "sequence_dispersion_tests",
    "stationarity_test",
    "stationarity_test_poisson",
    "variance_of_sequences",
]
