"""The warning filters belong to the whole process: whoever replaces them for a while must be alone.

pandas, scikit-learn and torch do (`warnings.catch_warnings`), while they are imported and while they work. Two threads at once
leave the filters of one to the other, or none, for good.
"""

import threading

ALONE = threading.RLock()
"""Held around what replaces them. Reentrant: a table's own code may ask a model."""
