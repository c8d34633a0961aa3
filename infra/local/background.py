"""The embedded stack in the background: one process holds the services, a lock and a state file tell of it.

The lock is held as long as that process lives, however it ends, so nobody takes a stale state for a running stack.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.local.process import Child, wait_until
from infra.local.stack import LocalStack, Ports
from infra.runtime.settings import Settings, load_settings
from schemas.errors import ConfigurationError, FlashMMError, NotRunning, ServiceUnavailable, TimedOut

__all__ = ["StackState", "main", "read_state", "start_background", "stop_background"]

_NAME = "local services"
_STOP_S = 30.0
_READY_S = 180.0
_CHECK_S = 1.0
_LOCAL = ("127.0.0.1", "localhost")

StackState = dict[str, Any]
"""What the state file says: pid, kafka, registry, redis, influx (what runs), services, environment; or `failed`."""


def read_state(data_dir: Path) -> StackState:
    """Read what the stack in the background says of itself.

    Raises:
        NotRunning: there is none; the message says why where it failed.
    """
    state: StackState = {}
    with contextlib.suppress(OSError, ValueError):
        state = json.loads(_state_file(data_dir).read_text(encoding="utf-8"))
    if not _is_held(data_dir):
        failed = f": it ended because {state['failed']}" if "failed" in state else ""
        raise NotRunning(f"the local services are not running{failed}. Start them with `flashmm up`")
    return state


def start_background(settings: Settings, *, kafka: str, registry: str) -> StackState:
    """Start the stack at the addresses of the settings and wait until it serves.

    Raises:
        ConfigurationError: it runs already, a program is missing, or a port is in use.
        ServiceUnavailable: a service ended.
        TimedOut: a service is not ready in time.
    """
    data_dir = settings.data_dir
    if _is_held(data_dir):
        raise ConfigurationError(
            "up", f"the local services of {data_dir} run already", "See `flashmm status`, or stop them: `flashmm down`"
        )
    _state_file(data_dir).unlink(missing_ok=True)
    holder = Child(
        _NAME,
        [sys.executable, "-m", "infra.local.background", "--kafka", kafka, "--registry", registry],
        log=data_dir / "stack.log",
        environment={"FLASHMM_DATA_DIR": str(data_dir.absolute())},
        is_bound=False,
    )
    holder.start()
    if not wait_until(lambda: _state_file(data_dir).exists() or not holder.is_alive, timeout_s=_READY_S):
        holder.stop()
        raise TimedOut(_NAME, "this machine", f"not ready within {_READY_S:g} s", fix=f"See the logs in {data_dir}")
    if not _state_file(data_dir).exists():
        holder.check()
    state: StackState = json.loads(_state_file(data_dir).read_text(encoding="utf-8"))
    if "failed" in state:
        holder.stop()
        if "configuration" in state:
            raise ConfigurationError(*state["configuration"])
        raise (TimedOut if state["timed_out"] else ServiceUnavailable)(_NAME, "this machine", state["failed"])
    return state


def stop_background(data_dir: Path) -> None:
    """Stop the stack and wait until it is gone.

    Raises:
        NotRunning: there is none.
        TimedOut: it does not end.
    """
    state = read_state(data_dir)
    os.kill(state["pid"], signal.SIGTERM)
    if not wait_until(lambda: not _is_held(data_dir), timeout_s=_STOP_S):
        raise TimedOut(_NAME, f"process {state['pid']}", f"did not end within {_STOP_S:g} s", fix="Kill the process")


def _state_file(data_dir: Path) -> Path:
    return data_dir / "stack.json"


def _is_held(data_dir: Path) -> bool:
    path = data_dir / "stack.lock"
    if not path.exists():
        return False
    with path.open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def _held(data_dir: Path) -> Iterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                "up", f"the local services of {data_dir} run already", "Stop them: `flashmm down`"
            ) from None
        yield


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    part.write_text(text, encoding="utf-8")
    part.rename(path)


def _ports(settings: Settings, kafka: str) -> Ports:
    is_ours = kafka in ("mock", "jvm")
    return Ports(
        kafka=_local_port("FLASHMM_KAFKA_BOOTSTRAP", settings.kafka_bootstrap) if is_ours else None,
        registry=_local_port("FLASHMM_REGISTRY_URL", settings.registry_url),
        redis=_local_port("REDIS_URL", settings.redis_url.get_secret_value()),
        influx=_local_port("INFLUXDB_URL", settings.influxdb_url),
    )


def _local_port(name: str, address: str) -> int:
    host, _, rest = address.rpartition("://")[2].partition(":")
    port = rest.partition("/")[0]
    if host not in _LOCAL or not port.isdecimal():
        raise ConfigurationError(
            name,
            f"{address.rpartition('@')[2]} is not host and port on this machine",
            "Unset it, or use the service that runs there instead of `flashmm up`",
        )
    return int(port)


def _state_of(stack: LocalStack) -> StackState:
    environment = stack.environment()
    addresses = {
        "kafka": environment["FLASHMM_KAFKA_BOOTSTRAP"],
        "registry": environment["FLASHMM_REGISTRY_URL"],
        "redis": environment["FLASHMM_REDIS_URL"],
        "influx": environment["FLASHMM_INFLUXDB_URL"],
    }
    described = stack.describe()
    in_words = stack.in_words()
    services = []
    for name, address in addresses.items():
        child = stack.children.get(name)
        services.append(
            {
                "name": name,
                "address": address,
                "what": in_words[name],
                "pid": child.pid if child else None,
                "log": str(child.log) if child else None,
            }
        )
    return {"pid": os.getpid(), **described, "services": services, "environment": environment}


def _hold(settings: Settings, *, kafka: str, registry: str) -> None:
    """Keep the stack until interrupted, or until one of its services ends."""
    stack = LocalStack(
        settings.data_dir,
        kafka=kafka,
        registry=registry,
        ports=_ports(settings, kafka),
        partitions=settings.kafka_partitions,
        prefix=settings.topic_prefix,
        instruments=settings.instruments,
        influx_org=settings.influxdb_org,
        influx_bucket=settings.influxdb_bucket,
        influx_token=settings.influxdb_token.get_secret_value(),
    )
    with stack:
        variables = stack.environment().items()
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables if value]
        _write(_state_file(settings.data_dir).with_suffix(".env"), "".join(lines))
        _write(_state_file(settings.data_dir), json.dumps(_state_of(stack), indent=2))
        while True:
            stack.check()
            time.sleep(_CHECK_S)


def _interrupt(_number: int, _frame: object) -> None:
    """End by one KeyboardInterrupt, whether asked once or twice."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> None:
    """Run the stack at the addresses of the settings until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.background")
    parser.add_argument("--kafka", default="mock")
    parser.add_argument("--registry", default="development")
    arguments = parser.parse_args()
    settings = load_settings()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    state_file = _state_file(settings.data_dir)
    with _held(settings.data_dir):
        try:
            _hold(settings, kafka=arguments.kafka, registry=arguments.registry)
        except FlashMMError as error:
            failure: StackState = {"failed": str(error), "timed_out": isinstance(error, TimedOut)}
            if isinstance(error, ConfigurationError):
                failure["configuration"] = [error.setting, error.problem, error.fix]
            _write(state_file, json.dumps(failure))
            sys.exit(f"flashmm: {error}")
        except KeyboardInterrupt:
            state_file.unlink(missing_ok=True)
        finally:
            state_file.with_suffix(".env").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
