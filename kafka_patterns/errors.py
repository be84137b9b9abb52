"""The errors of this library: one tree, each with a message that says what to do.

::

    KafkaPatternsError
    ├── ConfigurationError (also ValueError)     wrong options, handlers or names
    ├── PayloadError (also ValueError)           bytes or objects that do not fit
    │   └── ReplyPayloadError                    a reply that does not fit ``returns=``
    ├── RpcException                             what a handler raises, what a caller gets
    ├── KafkaRetriableException                  deliver this message again
    ├── BatchItemFailed                          one message of a batch failed
    ├── TransportError
    │   ├── BrokersUnavailable                   no broker answered within the connection timeout
    │   │   ├── AuthenticationFailed             the brokers do not let this user in
    │   │   └── TlsHandshakeFailed               certificates or ports that do not fit
    │   ├── GroupError                           the consumer group refused this member
    │   ├── NotAuthorized                        a right on a topic is missing
    │   ├── ReplyTopicError                      a reply topic is missing or has too few partitions
    │   └── CommitFailed                         an offset was not committed
    ├── RequestError
    │   ├── RequestTimeout (also TimeoutError)   no reply within the timeout
    │   ├── SendFailed                           the broker did not take the message
    │   ├── ClientClosed                         the client closed before the reply came
    │   ├── NotSubscribedToReply                 subscribe_to_response_of() is missing
    │   ├── NoReplyPartition                     this instance holds no reply partition
    │   ├── TooManyPendingRequests               reply.max_pending is reached
    │   └── TooManyUnreadReplies                 a stream was read too slowly
    ├── ReplayFailed                             a replay of dead letters ended early
    ├── NotConnected                             connect() comes first
    ├── HandlerLost                              a message ended its process too often
    └── PartitionLost                            the message's partition moved away meanwhile
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

__all__ = [
    "AuthenticationFailed",
    "BatchItemFailed",
    "BrokersUnavailable",
    "ClientClosed",
    "CommitFailed",
    "ConfigurationError",
    "GroupError",
    "HandlerLost",
    "KafkaPatternsError",
    "KafkaRetriableException",
    "NoReplyPartition",
    "NotAuthorized",
    "NotConnected",
    "NotSubscribedToReply",
    "PartitionLost",
    "PayloadError",
    "ReplayFailed",
    "ReplyPayloadError",
    "ReplyTopicError",
    "RequestError",
    "RequestTimeout",
    "RpcException",
    "SendFailed",
    "TlsHandshakeFailed",
    "TooManyPendingRequests",
    "TooManyUnreadReplies",
    "TransportError",
]


class KafkaPatternsError(Exception):
    """Root of all errors of this library."""


class ConfigurationError(KafkaPatternsError, ValueError):
    """An option, a handler or a name that cannot work; found before any network use."""


class PayloadError(KafkaPatternsError, ValueError):
    """A payload that cannot be written as, or read from, the bytes of a record."""


class ReplyPayloadError(PayloadError):
    """A reply arrived but is not valid for ``returns=``, or cannot be decoded."""


class RpcException(KafkaPatternsError):
    """An error that crosses the wire: raised by a handler, received by the caller.

    :param error: a text, or anything JSON can write (usually a mapping). A text ``"boom"``
        travels as ``{"status": "error", "message": "boom"}``, a mapping or list as it is,
        which is what NestJS's ``RpcException`` does.

    On the caller's side :attr:`error` is what the remote service put into the
    ``kafka_nest-err`` header: the parsed object, or a text.
    """

    def __init__(self, error: Any = None) -> None:
        super().__init__(error)
        self.error = error

    @property
    def message(self) -> str:
        """The text of the error, wherever the peer put it."""
        if isinstance(self.error, str):
            return self.error
        if isinstance(self.error, Mapping) and isinstance(self.error.get("message"), str):
            return str(self.error["message"])
        return "Rpc Exception" if self.error is None else str(self.error)

    def __str__(self) -> str:
        return self.message


class KafkaRetriableException(KafkaPatternsError):
    """Raised by a handler: do not finish this message, deliver it again after a backoff.

    :param error: told to the caller if the retries end without success.
    """

    def __init__(self, error: Any = "") -> None:
        super().__init__(error)
        self.error = error


class BatchItemFailed(KafkaPatternsError):
    """Raised by a batch handler: those before *index* are finished, this one failed.

    :param index: of the failed message in the list the handler got.
    :param cause: why it failed; told to exception filters in place of this.
    """

    def __init__(self, index: int, cause: BaseException | None = None) -> None:
        super().__init__(f"message {index} of the batch failed: {cause!r}")
        self.index = index
        self.cause = cause

    @property
    def cause_or_itself(self) -> BaseException:
        """The cause, if it was given."""
        return self if self.cause is None else self.cause


class TransportError(KafkaPatternsError):
    """The broker or the connection to it failed."""


class BrokersUnavailable(TransportError):
    """No broker answered within the connection timeout, or none ever will as things are."""


class AuthenticationFailed(BrokersUnavailable):
    """The brokers refuse the user name, the password, the token or the way to sign in."""


class TlsHandshakeFailed(BrokersUnavailable):
    """A certificate that is not trusted or for another host, or a port that speaks no TLS."""


class GroupError(TransportError):
    """The consumer group refused this member: another protocol, fenced, not authorized."""


class NotAuthorized(TransportError):
    """The brokers do not let this user do something with a topic; names the right it lacks."""


class ReplyTopicError(TransportError):
    """A reply topic is missing or has too few partitions; tells the command that mends it."""


class CommitFailed(TransportError):
    """An offset was not committed; the messages may be delivered again.

    :param forbidden: the topics for which the right to commit is missing, if that is the reason;
        what was to be committed of others is.
    """

    def __init__(self, message: str, *, forbidden: Collection[str] = ()) -> None:
        super().__init__(message)
        self.forbidden = frozenset(forbidden)


class RequestError(KafkaPatternsError):
    """A request or an event that did not end as asked for."""


class RequestTimeout(RequestError, TimeoutError):
    """No reply came within the timeout. The request may have been handled."""


class SendFailed(RequestError):
    """The broker did not acknowledge the message.

    :param outcome_unknown: ``True`` if the message may be in the topic all the same (a
        connection lost after the send), ``False`` if it certainly is not.
    :param retriable: whether sending it again may help; not if the broker refuses it for
        what it is.
    :param too_large: whether it was refused for its size.
    :param forbidden: whether the right to write it is missing.
    :param topic_missing: whether the cluster says that its topic does not exist.
    :param results: for a batch, one entry per message in the order given: the
        acknowledged position, or the error of that message.
    """

    def __init__(
        self,
        message: str,
        *,
        outcome_unknown: bool = False,
        retriable: bool = False,
        too_large: bool = False,
        forbidden: bool = False,
        topic_missing: bool = False,
        results: Sequence[Any] = (),
    ) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown
        self.retriable = retriable
        self.too_large = too_large
        self.forbidden = forbidden
        self.topic_missing = topic_missing
        self.results = list(results)


class ClientClosed(RequestError):
    """The client was closed before the request ended, or is closed already."""


class NotSubscribedToReply(RequestError):
    """The reply topic of this pattern is not read: ``subscribe_to_response_of`` is missing."""


class NoReplyPartition(RequestError):
    """This instance holds no partition of the reply topic, so no reply could reach it."""


class TooManyPendingRequests(RequestError):
    """``reply.max_pending`` requests are waiting for their replies; this one was not sent."""


class TooManyUnreadReplies(RequestError):
    """``reply.max_unread`` replies to one request came before they were asked for."""


class ReplayFailed(KafkaPatternsError):
    """A replay ended early: the broker did not take a letter, or what it did cannot be noted.

    :param report: the :class:`~kafka_patterns.ReplayReport` of what was done.
    """

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report


class NotConnected(KafkaPatternsError):
    """The client or server is not connected: ``connect()`` or ``start()`` comes first."""


class HandlerLost(KafkaPatternsError):
    """While this message alone was handled, processes ended or were cut off from their group.

    A message that did so as often as it may be tried is given up with this error; its handler is
    not called again.
    """


class PartitionLost(KafkaPatternsError):
    """The partition of this message went to another member meanwhile."""
