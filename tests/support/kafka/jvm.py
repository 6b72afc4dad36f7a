"""Apache Kafka as a Java process: one node, broker and controller in one."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.kafka.broker import (
    LOOPBACK,
    START_SECONDS,
    STOP_SECONDS,
    NoKafkaError,
    new_cluster_id,
    until_it_answers,
)
from tests.support.kafka.jars import kafka_jars
from tests.support.kafka.secured import SecuredListeners
from tests.support.ports import free_ports

OLDEST_JAVA = 17

_LEASH = Path(__file__).with_name("leash.py")
_TRIES = 3
_FLAGS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:{controller}
listeners=PLAINTEXT://{host}:{client},CONTROLLER://{host}:{controller}{listener}
advertised.listeners=PLAINTEXT://{host}:{client}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT{secured}
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
"""
"""The shorter session lets a killed broker come back after 3 seconds instead of 9."""


class _PortTakenError(RuntimeError):
    """The broker could not listen, because another process was faster."""


@asynccontextmanager
async def jvm_broker(
    folder: Path, *, proxy_port: int | None = None, secured: SecuredListeners | None = None
) -> AsyncIterator["JvmBroker"]:
    """A broker that runs when the block begins, and is gone when it ends.

    On Linux it ends with this process, however that dies; elsewhere with the block.

    Args:
        folder: an existing folder for its data and logs; not removed.
        proxy_port: where a proxy of the caller's listens, whose clients are to go through it with
            every connection; it connects to `behind_proxy`.
        secured: listeners with TLS or SASL, besides the plain one.

    Raises:
        NoKafkaError: Java or the libraries cannot be had.
        RuntimeError: they are there, and the broker does not start; holds its last words.
    """
    java = await asyncio.to_thread(_java)
    broker = JvmBroker(java, await asyncio.to_thread(kafka_jars), folder, proxy_port, secured)
    try:
        await broker.start()
        yield broker
    finally:
        await broker.stop()


class JvmBroker:
    """A broker with data and ports of its own. Fulfils `Broker`."""

    def __init__(
        self,
        java: str,
        jars: Path,
        folder: Path,
        proxy_port: int | None = None,
        secured: SecuredListeners | None = None,
    ) -> None:
        self._java = [java, *_FLAGS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        self._java += ["-Dorg.slf4j.simpleLogger.showDateTime=true"]
        self._java += ["-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS", "-cp", f"{jars}/*"]
        self._folder = folder
        self._cluster_id = new_cluster_id()
        self._client_port: int | None = None
        self._proxy_port = proxy_port
        self._behind_proxy: int | None = None
        self._secured = secured
        self._secured_ports: dict[str, int] = {}
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`; known once it was started."""
        assert self._client_port is not None, "it was never started"
        return f"{LOOPBACK}:{self._client_port}"

    @property
    def behind_proxy(self) -> int:
        """The port whose clients are sent to the proxy; known after the start."""
        assert self._behind_proxy is not None, "it was never started, or has no proxy"
        return self._behind_proxy

    def secured_address(self, listener: str) -> str:
        """`127.0.0.1:PORT` of a secured listener; known once it was started."""
        return f"{LOOPBACK}:{self._secured_ports[listener]}"

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it, with the ports and data of last time. Raises RuntimeError if it fails."""
        if self._client_port is not None:
            await self._run()
            return
        for tries_left in reversed(range(_TRIES)):
            await self._prepare()
            try:
                await self._run()
                return
            except _PortTakenError:
                self._client_port = None
                if not tries_left:
                    raise

    async def stop(self) -> None:
        """Ask it to end, and insist after a while. Does nothing if it does not run."""
        if self._process is not None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                await self.kill()
            self._process = None

    async def kill(self) -> None:
        """End it with SIGKILL. Does nothing if it does not run."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
            self._process = None

    async def pause(self, seconds: float) -> None:
        """Stop its process for some seconds: it keeps its connections and does not answer."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            process.send_signal(signal.SIGCONT)

    async def _prepare(self) -> None:
        """Choose ports, and format the data folder; the controller's port is written there."""
        self._client_port, controller, self._behind_proxy = free_ports(3)
        data = self._folder / "data"
        shutil.rmtree(data, ignore_errors=True)
        listener = advertised = ""
        if self._proxy_port is not None:
            listener = f",PROXIED://{LOOPBACK}:{self._behind_proxy}"
            advertised = f",PROXIED://{LOOPBACK}:{self._proxy_port}"
        protocols = properties = ""
        accounts: list[str] = []
        if self._secured is not None:
            names = self._secured.names
            self._secured_ports = dict(zip(names, free_ports(len(names)), strict=True))
            addresses = self._secured.addresses(self._secured_ports)
            listener, advertised = listener + addresses, advertised + addresses
            protocols, properties = self._secured.protocol_map(), self._secured.properties()
            accounts = self._secured.format_arguments()
        text = _PROPERTIES.format(
            host=LOOPBACK,
            client=self._client_port,
            controller=controller,
            data=data,
            listener=listener,
            advertised=advertised,
            secured=protocols,
        )
        self._properties.write_text(text + properties, "utf-8")
        command = [*self._java, "kafka.tools.StorageTool", "format", "--standalone"]
        command += ["--cluster-id", self._cluster_id, "--config", str(self._properties)]
        command += accounts
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=START_SECONDS
        )
        if done.returncode != 0:
            raise RuntimeError(f"Kafka cannot format {data}: {done.stdout}{done.stderr}")

    async def _run(self) -> None:
        assert self._process is None, "it runs"
        self._starts += 1
        log_path = self._folder / f"kafka-{self._starts}.log"
        process = self._process = self._launch(log_path)

        def look() -> None:
            if process.poll() is not None:
                raise _failure(log_path, f"ended with {process.returncode}")

        try:
            await until_it_answers(self.address, self._cluster_id, look)
        except TimeoutError as error:
            await self.kill()
            raise _failure(log_path, "does not answer") from error
        except BaseException:
            await self.kill()
            raise

    def _launch(self, log_path: Path) -> subprocess.Popen[bytes]:
        """Start the process; by the thread that runs the loop, since its leash ends with that."""
        command = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid())]
        command += [*self._java, "kafka.Kafka", str(self._properties)]
        with log_path.open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the test run handles Ctrl-C and stops it
            )

    @property
    def _properties(self) -> Path:
        return self._folder / "server.properties"


def _failure(log_path: Path, what: str) -> Exception:
    said = log_path.read_text("utf-8", "replace")
    if "Address already in use" in said:
        return _PortTakenError(said[-2000:])
    return RuntimeError(f"Apache Kafka {what}. {log_path} says:\n{said[-2000:]}")


def _java() -> str:
    """The Java program. Raises NoKafkaError if it is missing or too old."""
    java = shutil.which("java")
    if java is None:
        raise NoKafkaError("Java is not on PATH")
    asked = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', asked.stderr)
    if asked.returncode != 0 or found is None:
        raise NoKafkaError(f"{java} does not tell its version: {asked.stderr[:200]}")
    if int(found[1]) < OLDEST_JAVA:
        raise NoKafkaError(f"{java} is Java {found[1]}, Kafka needs {OLDEST_JAVA}")
    return java
