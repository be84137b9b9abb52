"""The base's errors, read as ours."""

from __future__ import annotations

from kafka import errors as base

__all__ = ["is_fatal_for_member", "is_too_large", "outcome_is_unknown"]

_MAY_BE_WRITTEN = (
    base.KafkaConnectionError,
    base.RequestTimedOutError,
    base.NotEnoughReplicasAfterAppendError,
    base.UnknownError,
    base.Cancelled,
    base.IllegalStateError,  # the producer was closed while the batch was under way
)

_FATAL_FOR_MEMBER = (
    base.InconsistentGroupProtocolError,
    base.GroupAuthorizationFailedError,
    base.TopicAuthorizationFailedError,
    base.InvalidGroupIdError,
    base.InvalidSessionTimeoutError,
    base.UnsupportedVersionError,
)


def outcome_is_unknown(error: BaseException, *, was_sent: bool) -> bool:
    """Whether the record may be in the log although the send failed with *error*."""
    return was_sent or isinstance(error, _MAY_BE_WRITTEN)


def is_too_large(error: BaseException) -> bool:
    """Whether less of it might have been taken."""
    return isinstance(error, (base.MessageSizeTooLargeError, base.RecordListTooLargeError))


def is_fatal_for_member(error: BaseException) -> bool:
    """Whether joining the group again cannot help."""
    return isinstance(error, _FATAL_FOR_MEMBER)
