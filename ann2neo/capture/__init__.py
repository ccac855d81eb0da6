"""From a torch model and its inputs to packed spikes.

`record` asks four questions. What is watched? A `Probe` (``ann2neo/probe/``), made once from the model and the layers. What is shown? A `Presentation` (``inputs/``), made
once from the inputs. When is an activation a spike? A sink (``spikes/``) is shown every activation: `Bits` thresholds and packs, `Statistics` calibrates, `Shapes` plans, and
`Comparison` verifies. Where do the bits go? Memory, or a session on a store (``store/``). ``run.py`` joins them, batch by batch; ``first_batch.py`` runs the first one again
(``ann2neo/verification/``).
"""

from ann2neo.extras import require

require("torch", to="Recording a model")

from ann2neo.capture.inputs import Inputs  # noqa: E402
from ann2neo.capture.passes import Passes  # noqa: E402
from ann2neo.capture.plans import plan  # noqa: E402
from ann2neo.capture.recorder import RecordOptions, export, record  # noqa: E402
from ann2neo.capture.steps import Steps  # noqa: E402
from ann2neo.capture.units import Sample  # noqa: E402

__all__ = ["Inputs", "Passes", "RecordOptions", "Sample", "Steps", "export", "plan", "record"]
