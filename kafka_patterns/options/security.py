"""``client.ssl`` and ``client.sasl``: how a connection is encrypted and signed in."""

from __future__ import annotations

from ssl import SSLContext
from typing import Any

import attrs

from kafka_patterns.options.fields import option
from kafka_patterns.options.hiding import show_secret
from kafka_patterns.options.kinds import (
    Kind,
    choice,
    file_path,
    flag,
    live,
    optional,
    secret_text,
    text,
    unfit_type,
)
from kafka_patterns.options.problems import Rule, require

__all__ = ["SaslOptions", "SslOptions", "ssl_setting"]

_OAUTHBEARER = "oauthbearer"
_MECHANISMS = ("plain", "scram-sha-256", "scram-sha-512", _OAUTHBEARER)


@attrs.frozen(kw_only=True)
class SslOptions:
    """TLS with files of your own; the broker's certificate is always verified.

    :param ca_file: PEM file of the authorities to trust, instead of the system's.
    :param cert_file: PEM file of the client's certificate, with its chain.
    :param key_file: PEM file of the client's private key, if `cert_file` does not hold it.
    :param key_password: the private key's passphrase; never shown.
    :param check_hostname: whether the certificate must be for the broker's host name.
    """

    ca_file: str | None = option(
        None, optional(file_path()), alias=("caFile", "cafile"), maps_to="`ssl_cafile`"
    )
    cert_file: str | None = option(
        None, optional(file_path()), alias=("certFile", "certfile"), maps_to="`ssl_certfile`"
    )
    key_file: str | None = option(
        None, optional(file_path()), alias=("keyFile", "keyfile"), maps_to="`ssl_keyfile`"
    )
    key_password: str | None = option(
        None,
        optional(secret_text()),
        alias=("keyPassword", "passphrase"),
        maps_to="`ssl_password`",
        show=show_secret,
    )
    check_hostname: bool = option(True, flag(), maps_to="`ssl_check_hostname`")

    def __attrs_post_init__(self) -> None:
        has_certificate = self.cert_file is not None
        require(
            Rule(has_certificate or self.key_file is None, "key_file", "needs cert_file"),
            Rule(has_certificate or self.key_password is None, "key_password", "needs cert_file"),
        )


@attrs.frozen(kw_only=True)
class SaslOptions:
    """Signing in to the broker.

    :param mechanism: `plain`, `scram-sha-256`, `scram-sha-512` or `oauthbearer`, in upper or
        lower case; stored in lower case.
    :param username: for all mechanisms but `oauthbearer`.
    :param password: for all mechanisms but `oauthbearer`; never shown.
    :param token_provider: for `oauthbearer`: a live object with a method `token()` that
        returns the token's text; called whenever a connection is made.
    """

    mechanism: str = option(
        None,
        optional(choice(*_MECHANISMS)),
        default_text="required",
        maps_to="`sasl_mechanism`",
    )
    username: str | None = option(None, optional(text()), maps_to="`sasl_plain_username`")
    password: str | None = option(
        None, optional(secret_text()), maps_to="`sasl_plain_password`", show=show_secret
    )
    token_provider: Any = option(
        None,
        live("an object with a token() method that returns the token's text", "token"),
        alias=("tokenProvider", "oauthBearerProvider"),
        maps_to="`sasl_oauth_token_provider`",
        show=show_secret,
    )

    def __attrs_post_init__(self) -> None:
        known = ", ".join(_MECHANISMS)
        require(Rule(self.mechanism is not None, "mechanism", f"is missing: one of {known}"))
        by_token = self.mechanism == _OAUTHBEARER
        require(
            self._fits("username", needed=not by_token),
            self._fits("password", needed=not by_token),
            self._fits("token_provider", needed=by_token),
        )

    def _fits(self, name: str, *, needed: bool) -> Rule:
        given = getattr(self, name) is not None
        what = "is missing: needed" if needed else "cannot be used"
        return Rule(given == needed, name, f'{what} with the mechanism "{self.mechanism}"')


def ssl_setting() -> Kind:
    """True, False, a live ``ssl.SSLContext``, or :class:`SslOptions`."""
    expects = "True, False, an ssl.SSLContext, or a mapping of client.ssl"

    def read(value: Any) -> bool | SSLContext | SslOptions:
        if isinstance(value, (bool, SSLContext, SslOptions)):
            return value
        raise unfit_type(expects, value)

    return Kind(read, flag().parse, SslOptions)
