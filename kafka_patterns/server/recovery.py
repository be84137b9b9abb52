"""What becomes of a message whose handler failed: the one place where a policy is applied."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection

from kafka_patterns.backoff import Backoff
from kafka_patterns.consuming.counters import Counters
from kafka_patterns.errors import KafkaRetriableException
from kafka_patterns.failures.causes import Cause
from kafka_patterns.failures.policy import Decision, Failure, GiveUp, Reason, Retry, RetryAfter
from kafka_patterns.failures.retry_topics import RetryTopics, original, seconds_until_due
from kafka_patterns.failures.rpc_error import error_object
from kafka_patterns.message import Record
from kafka_patterns.server.handlers import Handler
from kafka_patterns.server.invocation import Invocation
from kafka_patterns.server.letters import Letters
from kafka_patterns.server.marks import HandlerKind
from kafka_patterns.server.outcome import Deferred, Finished, Outcome, RetryLater, Stop
from kafka_patterns.server.replies import NoReplies, Replies
from kafka_patterns.server.work import WorkItem

__all__ = ["Recovery"]

logger = logging.getLogger("kafka_patterns.recovery")

_LOST_REQUESTS = 3
"""How many processes a request may end that nobody chose a policy for."""


class Recovery:
    """Asks the policy of a handler, and does what it decides. In the workers' threads.

    :param backoff: the waits where a handler has no policy of its own.
    :param group: the group that gives messages up.
    :param on_poison: what an event's unreadable payload leads to, if nothing else takes it.
    :param dead_letter_topics: those whose names do not say so.
    :param clock: monotonic seconds.
    :param wall_clock: seconds since 1970, by which callers tell their deadlines.
    """

    def __init__(
        self,
        backoff: Backoff,
        letters: Letters,
        counters: Counters,
        *,
        group: str,
        on_poison: str,
        dead_letter_topics: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._backoff = backoff
        self._for_events = Retry(max_attempts=None, backoff=backoff)
        self._for_requests = Retry(
            max_attempts=None, backoff=backoff, on=(KafkaRetriableException,)
        )
        self._before_dead_letters = Retry(backoff=backoff)
        self._letters = letters
        self._counters = counters
        self._group = group
        self._on_poison = on_poison
        self._dead_letter_topics = dead_letter_topics
        self._clock = clock
        self._wall_clock = wall_clock

    def begin(self, item: WorkItem) -> None:
        """One more try of *item*."""
        item.attempt += 1
        if item.first_tried is None:
            item.first_tried = self._clock()

    def is_beyond_tries(self, item: WorkItem, handler: Handler) -> bool:
        """Whether the message ended as many processes as *handler* may try it.

        There was no exception then that a policy could have been asked about.
        """
        if not item.lost_tries:
            return False
        policy = handler.mark.retry
        if isinstance(policy, RetryTopics):
            return True
        if policy is None and handler.mark.kind is HandlerKind.MESSAGE:
            return item.lost_tries >= _LOST_REQUESTS
        if policy is None and handler.mark.dead_letter is not None:
            policy = self._before_dead_letters
        limit = None if policy is None else policy.max_attempts
        return limit is not None and item.lost_tries >= limit

    def after_event(self, invocation: Invocation, error: BaseException) -> Outcome:
        """What becomes of an event whose handler, and filters, ended with *error*."""
        try:
            return self._after_event(invocation, error)
        except BaseException as fault:  # noqa: BLE001  whoever deferred it waits for an outcome
            return self.after_crash(invocation.item, fault)

    def _after_event(self, invocation: Invocation, error: BaseException) -> Outcome:
        invocation.log_failure(error)
        decision = self.decide(invocation, error)
        if isinstance(decision, RetryAfter):
            retry = invocation.handler.mark.retry
            # A batch that nobody can read would be one event there.
            if isinstance(retry, RetryTopics) and invocation.record.unreadable is None:
                return self._pass_on(invocation, retry, error, decision.seconds)
            return RetryLater(error, decision.seconds)
        return self.give_up(invocation, error, decision.reason)

    def _pass_on(
        self, invocation: Invocation, retry: RetryTopics, error: BaseException, delay: float
    ) -> Outcome:
        """The next try comes from the next retry topic."""
        item, handler = invocation.item, invocation.handler
        level = item.route.retry_level
        topic = handler.mark.pattern
        letter = retry.letter(
            _as_it_was(item, handler),
            error,
            topic=retry.topics(topic, self._group)[level],
            attempt=level + 1,
            due=self._wall_clock() + delay,
            group=self._group,
        )
        item.put_letter(handler, letter)
        return self.bury(item, handler)

    def seconds_until_due(self, item: WorkItem) -> float:
        """How long a message of a retry topic must still wait."""
        retry = item.route.handlers[0].mark.retry
        assert isinstance(retry, RetryTopics)
        longest = retry.delays[item.route.retry_level - 1]
        return seconds_until_due(item.record, self._wall_clock(), longest)

    def after_request(
        self, invocation: Invocation, replies: Replies | NoReplies, error: BaseException
    ) -> Outcome:
        """What becomes of a request: it is answered with *error*, or tried again."""
        try:
            return self._after_request(invocation, replies, error)
        except BaseException as fault:  # noqa: BLE001  whoever deferred it waits for an outcome
            return self.after_crash(invocation.item, fault)

    def _after_request(
        self, invocation: Invocation, replies: Replies | NoReplies, error: BaseException
    ) -> Outcome:
        invocation.log_failure(error)
        decision = self.decide(invocation, error)
        item, handler = invocation.item, invocation.handler
        if isinstance(decision, RetryAfter) and not replies.has_values:
            item.given_up = False  # the next try may return, and commit by hand
            return RetryLater(error, decision.seconds)
        item.given_up = True
        if handler.mark.dead_letter is None or decision == GiveUp(Reason.ANSWER):
            replies.error(error_object(error))
            return Finished(reply_under_way=True)
        self._write_dead_letter(item, handler, error)
        item.ends_left = 2  # before the first of them can come
        replies.error(error_object(error))
        return self.bury(item, handler)

    def decide(self, invocation: Invocation, error: BaseException) -> Decision:
        """Ask the policy of the handler. One that fails itself counts as one that waits."""
        context, item = invocation.context, invocation.item
        own = invocation.handler.mark.retry
        attempt = context.attempt
        if isinstance(own, RetryTopics):
            own, attempt = own.policy(), item.route.retry_level + 1
        default = self._for_events
        if context.expects_reply:
            default = self._for_requests
        elif invocation.handler.mark.dead_letter is not None:
            default = self._before_dead_letters
        # Without a policy that was chosen, a caller's patience is no reason to drop a request.
        deadline = None if own is None else context.deadline
        started = item.first_tried
        failure = Failure(
            error=error,
            attempt=attempt,
            elapsed=0.0 if started is None else self._clock() - started,
            cause=invocation.cause(error),
            expects_reply=context.expects_reply,
            time_left=None if deadline is None else deadline - self._wall_clock(),
        )
        try:
            return (own or default).decide(failure)
        except BaseException:
            logger.exception("the retry policy of handler %s failed", invocation.handler.name)
            return RetryAfter(self._backoff(item.attempt))

    def give_up(self, invocation: Invocation, error: BaseException, reason: Reason) -> Outcome:
        """An event is not tried again, for *reason*."""
        item, handler = invocation.item, invocation.handler
        if handler.mark.dead_letter is not None:
            self._write_dead_letter(item, handler, error)
            return self.bury(item, handler)
        if reason is Reason.HOPELESS:
            if invocation.cause(error) is not Cause.UNREADABLE or self._on_poison == "hold":
                # Nobody said that it may be dropped: it waits for whoever mends the code.
                return RetryLater(error, self._backoff(item.attempt))
            if self._on_poison == "stop":
                return Stop(error, self._backoff(item.attempt))
            self._counters.add("poison_skipped")
        else:
            self._counters.add("given_up")
            logger.error(
                "%s[%d] offset %d is given up by handler %s after %d attempts: %s",
                *item.record[:3],
                handler.name,
                item.attempt,
                reason.value,
            )
        return _through(item, handler)

    def bury(self, item: WorkItem, handler: Handler) -> Outcome:
        """Send what became of a message that *handler* gave up; again if it was refused."""
        ended = self._letters.send(item.letters[handler])

        def outcome() -> Outcome:
            error = ended.exception()
            if error is not None:
                return RetryLater(error, self._backoff(item.attempt))
            item.drop_letter(handler)
            return _through(item, handler)

        return Deferred(lambda listener: ended.add_done_callback(lambda _: listener(outcome())))

    def _write_dead_letter(self, item: WorkItem, handler: Handler, error: BaseException) -> None:
        chosen = handler.mark.dead_letter
        assert chosen is not None
        record = _as_it_was(item, handler)
        was_dead = record.topic in self._dead_letter_topics
        item.put_letter(handler, chosen.letter(record, error, self._group, was_dead=was_dead))

    def after_crash(self, item: WorkItem, error: BaseException) -> Outcome:
        """What becomes of a message when a fault of this library's own came between."""
        logger.error("work on %s[%d] offset %d broke off", *item.record[:3], exc_info=error)
        return RetryLater(error, self._backoff(max(1, item.attempt)))


def _through(item: WorkItem, handler: Handler) -> Finished:
    item.went_through(handler)
    item.given_up = True
    return Finished()


def _as_it_was(item: WorkItem, handler: Handler) -> Record:
    """The record in its first topic, also where it came from a retry topic."""
    if not item.route.retry_level:
        return item.record
    return original(item.record, handler.mark.pattern)
