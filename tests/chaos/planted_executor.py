"""An executor that dies between its journal and the venue, for the tests of what is never sent twice."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from infra.cli.main import main
from sinks.executor.desk import Desk

_AFTER = int(os.environ["PLANTED_AFTER_ORDERS"])
_submit = Desk.submit
_calls = 0


def _dying(self: Desk, *arguments: Any) -> Any:
    global _calls
    _calls += 1
    if _calls > _AFTER:
        os.kill(os.getpid(), signal.SIGKILL)
    return _submit(self, *arguments)


if __name__ == "__main__":
    Desk.submit = _dying  # type: ignore[method-assign]
    sys.argv = ["flashmm", "sink", "executor"]
    main()
