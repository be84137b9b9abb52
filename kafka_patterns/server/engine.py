"""The running parts of a server, wired, started and ended in order.

Three roles: the membership joins and commits, the fetcher reads, the workers run handlers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kafka_patterns.backoff import ExponentialBackoff
from kafka_patterns.consuming.counters import Counters
from kafka_patterns.consuming.drivers import ConsumerDriver, ProducerDriver
from kafka_patterns.consuming.fetcher import Fetcher
from kafka_patterns.consuming.membership import Membership
from kafka_patterns.consuming.timers import Timers
from kafka_patterns.errors import TransportError
from kafka_patterns.failures.filters import ExceptionFilter
from kafka_patterns.middleware.chain import MiddlewareChain
from kafka_patterns.options import KafkaOptions
from kafka_patterns.serialization.registry import Serialization
from kafka_patterns.server.assignments import Assignments
from kafka_patterns.server.assignor import StickyPolicy
from kafka_patterns.server.batches import BatchDispatcher
from kafka_patterns.server.commits import Committer
from kafka_patterns.server.discovery import Discovery
from kafka_patterns.server.dispatcher import Dispatcher
from kafka_patterns.server.group import GroupDecisions
from kafka_patterns.server.health import ServerHealth
from kafka_patterns.server.intake import Intake
from kafka_patterns.server.invocation import InvocationMaker
from kafka_patterns.server.lanes import Lanes
from kafka_patterns.server.ledger import AssignedPartition, Ledger
from kafka_patterns.server.letters import Letters
from kafka_patterns.server.processing import Books, Processor
from kafka_patterns.server.recovery import Recovery
from kafka_patterns.server.replier import Replier
from kafka_patterns.server.reply_address import default_allow_reply_topic
from kafka_patterns.server.routes import Routes
from kafka_patterns.server.watch import Watch
from kafka_patterns.server.work import WorkItem
from kafka_patterns.server.workers import WorkerPool
from kafka_patterns.status import KafkaStatus
from kafka_patterns.transport.base import Transport

__all__ = ["Engine"]

logger = logging.getLogger("kafka_patterns.server")

_CLOSE_SECONDS = 2.0


class Engine:
    """Everything that runs between ``start`` and ``stop`` of one server.

    :param set_status: told of every change.
    :param fatal: told of an error after which the server must stop.
    """

    def __init__(
        self,
        options: KafkaOptions,
        transport: Transport,
        routes: Routes,
        group_id: str,
        name: str,
        set_status: Callable[[KafkaStatus], None],
        fatal: Callable[[BaseException], None],
    ) -> None:
        run = options.run
        self._options = options
        self._routes = routes
        self._group_id = group_id
        self._retry_topics = routes.open_retry_topics(group_id)
        routes.renew_limits()
        self._name = name
        self._fatal = fatal
        self._stopping = threading.Event()
        self._transport = transport
        self._admin = transport.admin()
        self._timers = Timers(f"{name}-timers")
        self._counters = Counters()
        self._watch = Watch(run.slow_handler_warning_ms / 1000)
        self._ledger = Ledger(
            run.max_in_flight,
            run.max_in_flight_bytes,
            run.max_waiting,
            chunk_bytes=options.consumer.max_partition_fetch_bytes,
        )
        self._lanes: Lanes[WorkItem] = Lanes(
            self._timers,
            lambda item: item.route.limit,
            set_aside=self._set_aside,
            take_back=self._take_back,
        )
        intake = Intake(
            routes,
            self._ledger,
            self._lanes,
            self._counters,
            group_id=group_id,
            ordering=run.ordering,
            skip=self._skip,
            reopen=self._reopen,
            doubt=self._doubt,
        )
        self._fetcher = Fetcher(
            lambda: transport.reader(run.max_in_flight_bytes // 2),
            intake,
            self._admin,
            f"{name}-fetcher",
        )
        self._committer = Committer(
            self._ledger,
            interval=run.auto_commit_interval_ms / 1000,
            group=group_id,
            wake=self._fetcher.wake,
        )
        self._assignments = Assignments(
            self._ledger,
            self._admin,
            self._fetcher,
            from_beginning=options.subscribe.from_beginning,
            announces=run.auto_commit,
        )
        self._discovery = Discovery(routes, self._admin, self._assignments)
        self._decisions = GroupDecisions(
            self._ledger,
            self._lanes,
            self._committer,
            self._assignments,
            self._discovery,
            self._fetcher,
            group_id=group_id,
            rebalance_timeout=run.rebalance_timeout_ms / 1000,
            stopping=self._stopping,
            set_status=set_status,
            flush=self._flush,
            freed=self._free,
            watch=self._watch,
            fatal=fatal,
        )
        policy = StickyPolicy(lambda: self._assignments.claim)
        self._membership = Membership(
            lambda listener: transport.member(group_id, self._discovery.topics, policy, listener),
            self._decisions,
            f"{name}-member",
        )
        self._books = Books(
            self._ledger,
            self._committer,
            self._membership,
            self._fetcher,
            run.auto_commit,
            run.auto_commit_threshold,
        )
        self._pool: WorkerPool[WorkItem] | None = None
        self._producer: Any = None
        self._letters: Letters | None = None
        self._replier: Replier | None = None

    def start(
        self,
        serialization: Serialization,
        filters: Sequence[ExceptionFilter],
        middleware: MiddlewareChain,
    ) -> None:
        """Connect and start the threads.

        :raises BrokersUnavailable: if no broker answers within ``client.connection_timeout_ms``.
        :raises TransportError: if it was broken off.
        """
        self._admin.check_connection(self._options.client.connection_timeout_ms / 1000)
        self._discovery.look_first(self._retry_topics, self._stopping.wait)
        self._discovery.warn_of_left_behind(self._group_id)
        if self._stopping.is_set():
            raise TransportError("the server was stopped while it connected")
        self._producer = self._transport.producer()
        self._producer.learn(self._routes.reply_topics)
        send_timeout = self._options.send.timeout_ms / 1000
        self.consumer_driver = ConsumerDriver(self._membership, self._fetcher)
        self.producer_driver = ProducerDriver(
            self._producer,
            lambda topic, payload: serialization.encode(payload, topic=topic, pattern=topic),
            send_timeout,
        )
        invocations = InvocationMaker(
            serialization,
            self.consumer_driver,
            self.producer_driver,
            tuple(filters),
            self._books.commit_by_user,
            middleware or None,
        )
        self._letters = Letters(self._producer, self._counters, send_timeout=send_timeout)
        recovery = Recovery(
            self._backoff(),
            self._letters,
            self._counters,
            group=self._group_id,
            on_poison=self._options.run.on_poison,
            dead_letter_topics=self._routes.dead_letter_topics,
        )
        dispatcher = self._dispatcher(invocations, recovery, serialization, send_timeout)
        processor = Processor(
            dispatcher,
            BatchDispatcher(invocations, dispatcher, recovery),
            self._lanes,
            self._books,
            self._watch,
            self._counters,
            recovery,
            session_seconds=self._options.consumer.session_timeout_ms / 1000,
            fatal=self._fatal,
        )
        self._pool = WorkerPool(
            self._options.run.workers, self._lanes, processor.work, f"{self._name}-worker"
        )
        self._pool.start()
        self._fetcher.start()
        self._membership.start()

    def _backoff(self) -> ExponentialBackoff:
        redelivery = self._options.redelivery
        return ExponentialBackoff(
            redelivery.initial_retry_time_ms / 1000,
            redelivery.max_retry_time_ms / 1000,
            float(redelivery.multiplier),
        )

    def _dispatcher(
        self,
        invocations: InvocationMaker,
        recovery: Recovery,
        serialization: Serialization,
        send_timeout: float,
    ) -> Dispatcher:
        self._replier = Replier(
            self._producer,
            serialization,
            self._timers,
            allow=self._options.run.allow_reply_topic or default_allow_reply_topic,
            is_own=lambda topic: self._routes.get(topic) is not None,
            send_timeout=send_timeout,
            counters=self._counters,
        )
        return Dispatcher(
            invocations,
            self._replier,
            self._timers,
            recovery,
            skip_expired=self._options.run.skip_expired,
            reply_ended=self._books.reply_ended,
            reply_waits=self._books.reply_waits,
            still_wanted=lambda item: not item.assigned.lost and not self._stopping.is_set(),
        )

    def break_off_start(self) -> None:
        """From any thread: let a running :meth:`start` end, as far as it can; then stop it."""
        self._stopping.set()
        self._admin.interrupt()

    @property
    def runs_here(self) -> bool:
        """Whether the calling thread is one that a stop waits for: a handler runs in it."""
        return self._membership.runs_here or (self._pool is not None and self._pool.runs_here)

    def stop(self, timeout: float) -> bool:
        """Drain: no more reading, running handlers finish, replies go out, commit, leave.

        :returns: ``False`` if something had to be broken off to keep within *timeout* seconds.
        """
        deadline = time.monotonic() + timeout

        def left() -> float:
            return max(0.05, deadline - time.monotonic())

        self._stopping.set()
        self._admin.interrupt()  # nothing is opened any more, and nobody to wait for its offsets
        self._lanes.close()
        clean = self._fetcher.stop(min(left(), _CLOSE_SECONDS))
        # Handlers may take most of the time; the last commit and the goodbye need some too.
        clean = self._join_workers(left() - min(_CLOSE_SECONDS, timeout / 4)) and clean
        clean = self._flush(left()) and clean
        clean = self._membership.stop(left()) and clean
        if self._producer is not None:
            self._producer.close(min(left(), _CLOSE_SECONDS))
        self._timers.close(_CLOSE_SECONDS)
        self._admin.close()
        return clean

    def _join_workers(self, timeout: float) -> bool:
        """Wait for running handlers, and for those who finish deferred messages."""
        until = time.monotonic() + timeout
        still_running = [] if self._pool is None else self._pool.join(timeout)
        if still_running:
            logger.warning(
                "handlers still run after %.1f s and are left behind: %s; their messages are "
                "delivered again",
                timeout,
                ", ".join(still_running),
            )
        elif not self._lanes.wait_until_idle(max(0.0, until - time.monotonic())):
            logger.warning(
                "%d deferred messages were not acknowledged within %.1f s and are left behind; "
                "they are delivered again",
                self._lanes.running,
                timeout,
            )
            return False
        return not still_running

    def health(self, status: KafkaStatus | None) -> ServerHealth:
        """How the parts fare."""
        now = time.monotonic()
        last_poll = min(self._membership.last_poll, self._fetcher.last_poll)
        refused = None if self._letters is None else self._letters.last_error
        if refused is None and self._replier is not None:
            refused = self._replier.last_error
        failed = refused or self._watch.last_failure()
        unreadable = (*self._fetcher.stalled(), *self._assignments.stalled())
        error = failed or self._decisions.last_error or self._fetcher.last_error
        last_error = None if error is None else f"{type(error).__name__}: {error}"
        if failed is None and unreadable:
            last_error = "; ".join(map(str, unreadable))
        return ServerHealth(
            status=status,
            alive=self._membership.alive and self._fetcher.alive,
            seconds_since_poll=now - last_poll,
            seconds_since_contact=self._membership.seconds_since_contact,
            assignment={
                tp: None if end is None else max(0, end - position)
                for tp, position in self._ledger.positions().items()
                for end in [self._fetcher.end_offset(tp)]
            },
            in_flight=self._ledger.held,
            running=self._lanes.running,
            held_lanes=self._lanes.waiting,
            oldest_handler=self._watch.oldest(),
            stalled=(*unreadable, *self._watch.stalled()),
            last_error=last_error,
            counters=self._counters.snapshot(),
        )

    def _flush(self, timeout: float) -> bool:
        return self._replier is None or self._replier.flush(timeout)

    # For parts that are made before those they tell

    def _skip(self, item: WorkItem) -> None:
        self._books.skip(item)

    def _reopen(self, assigned: AssignedPartition, offset: int) -> AssignedPartition:
        begun = self._decisions.reopen(assigned, offset)
        self._committer.hurry()
        self._membership.wake()
        return begun

    def _doubt(self, assigned: AssignedPartition) -> None:
        self._ledger.doubt(assigned)
        self._membership.wake()

    def _free(self, item: WorkItem) -> None:
        self._books.free(item)

    def _set_aside(self, items: Iterable[WorkItem]) -> None:
        self._books.set_aside(items)

    def _take_back(self, items: Iterable[WorkItem]) -> None:
        self._books.take_back(items)
