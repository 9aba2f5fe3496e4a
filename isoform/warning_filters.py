"""The warning filters belong to the whole process: whoever replaces them for a while must be alone.

pandas and scikit-learn do (`warnings.catch_warnings`), while they are imported and while they work, and torch while it is
imported. Two threads at once leave the filters of one to the other, or none, for good.
"""

import os
import threading

ALONE = threading.RLock()
"""Held around what replaces them. Reentrant: a table's own code may ask a model, in its own thread. A table that waits for
another thread which asks one waits for ever."""

if hasattr(os, "register_at_fork"):  # not on Windows
    # A child has none of the other threads: what one of them held when it was forked, nobody would ever release.
    os.register_at_fork(before=ALONE.acquire, after_in_parent=ALONE.release, after_in_child=ALONE.release)
