"""What a caller is told of an exception: NestJS's rules."""

from __future__ import annotations

from typing import Any

from kafka_patterns.errors import (
    KafkaRetriableException,
    PayloadError,
    ReplyPayloadError,
    RpcException,
)
from kafka_patterns.failures.causes import error_text
from kafka_patterns.headers import INTERNAL_SERVER_ERROR

__all__ = ["error_object", "is_expected"]


def error_object(error: BaseException) -> Any:
    """The content of the error header for *error*.

    An ``RpcException`` says what it holds: an object or list as it is, anything else as the
    message. What does not fit the caller's own payload is told, for it is the caller's to
    mend. Any other exception stays inside: its text may be none of the caller's business.
    """
    if isinstance(error, RpcException):
        return _rpc_error(error.error)
    if isinstance(error, KafkaRetriableException):
        return {"error": error.error, "message": error_text(error)}
    if isinstance(error, PayloadError) and not isinstance(error, ReplyPayloadError):
        return {"status": "error", "message": error_text(error)}
    return {"status": "error", "message": INTERNAL_SERVER_ERROR}


def _rpc_error(error: Any) -> Any:
    if error is None:
        return {"status": "error"}
    if isinstance(error, (str, int, float)):
        return {"status": "error", "message": error}
    if isinstance(error, BaseException):
        return {"status": "error", "message": error_text(error)}
    return error


def is_expected(error: BaseException) -> bool:
    """Whether a handler raised *error* to tell the caller, so that a log needs no traceback."""
    return isinstance(error, (RpcException, KafkaRetriableException, PayloadError))
