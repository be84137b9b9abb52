"""Why brokers could not be used, in words that say what to do."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Collection

import attrs
from kafka import errors as base

from kafka_patterns.errors import AuthenticationFailed, BrokersUnavailable, TlsHandshakeFailed

__all__ = ["Address", "Peer", "Refusal", "Refusals"]

logger = logging.getLogger("kafka_patterns.transport")

Address = tuple[str, int]

_WRONG_NAME = (62, 64)  # OpenSSL: host name mismatch, IP address mismatch
_WRONG_TIME = (9, 10)  # not yet valid, expired
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")


@attrs.frozen
class Refusal:
    """What became of one attempt to connect.

    :param text: what happened, at which address, and what to do.
    :param kind: the error to raise for it.
    :param final_after: after how many times in a row trying again cannot help; 0 for never.
    """

    text: str
    kind: type[BrokersUnavailable] = BrokersUnavailable
    final_after: int = 0


@attrs.frozen
class Peer:
    """Whom an attempt was made to connect to, and how; explains what came of it.

    :param mechanism: of signing in, or ``None``.
    :param username: to sign in with, if the mechanism has one.
    """

    address: Address
    encrypted: bool
    mechanism: str | None
    username: str | None

    def __str__(self) -> str:
        return f"the broker at {self.address[0]}:{self.address[1]}"

    def unreachable(self, error: BaseException) -> Refusal:
        """No connection was made."""
        if "ECONNREFUSED" in str(error):
            return Refusal(f"{self} cannot be reached: nothing listens there")
        if "DNS" in str(error):
            return Refusal(f"{self} cannot be reached: its host name is not known")
        return Refusal(f"{self} cannot be reached: {_words(error)}")

    def speaks_tls(self) -> Refusal:
        """The answer to a question in plain text was TLS."""
        return Refusal(
            f"{self} speaks TLS at this port, but client.ssl is not set: set it, or use the "
            "address of a listener without TLS",
            final_after=1,
        )

    def tls_failed(self, error: BaseException) -> Refusal:
        """The handshake ended with *error*, or what came after it under TLS 1.3."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return self._certificate_refused(error)
        reason = getattr(error, "reason", None) or ""
        if "ALERT" in reason:
            return self._alerted(reason.partition("ALERT_")[2].replace("_", " ").lower())
        if reason in _NO_TLS:
            return Refusal(
                f"{self} does not speak TLS at this port, but client.ssl is set: use the address "
                "of a TLS listener, or set client.ssl to false",
                TlsHandshakeFailed,
                final_after=1,
            )
        ended = "did not answer" if "timeout" in str(error) else "hung up in"
        return Refusal(
            f"{self} {ended} the TLS handshake: the port may not speak TLS (use the address of a "
            "TLS listener, or set client.ssl to false), or the two have no TLS version and cipher "
            "in common",
            TlsHandshakeFailed,
        )

    def _certificate_refused(self, error: ssl.SSLCertVerificationError) -> Refusal:
        if error.verify_code in _WRONG_NAME:
            text = (
                f"the certificate of {self} is for another host name ({error.verify_message}): "
                "use a name that is in the certificate in client.brokers and in the broker's "
                "advertised.listeners, or have it certified for this one"
            )
        elif error.verify_code in _WRONG_TIME:
            text = (
                f"the certificate of {self} is not valid now ({error.verify_message}): renew it, "
                "or set the clock of this machine"
            )
        else:
            text = (
                f"the certificate of {self} is not trusted ({error.verify_message}): name the "
                "authority that issued it in client.ssl.ca_file"
            )
        return Refusal(text, TlsHandshakeFailed, final_after=1)

    def _alerted(self, alert: str) -> Refusal:
        about_certificate = "certificate" in alert or alert == "unknown ca"
        advice = (
            "it wants a client certificate that it trusts: set client.ssl.cert_file and key_file"
            if about_certificate
            else "the TLS versions and ciphers of the two may not fit"
        )
        return Refusal(
            f"{self} ended the TLS handshake with the alert {alert!r}: {advice}",
            TlsHandshakeFailed,
            final_after=1,
        )

    def sign_in_failed(
        self, error: BaseException, *, hung_up: bool, offered: Collection[str]
    ) -> Refusal:
        """Signing in ended with *error*.

        :param hung_up: the broker closed the connection when it had the credentials, which is
            how it says that they are wrong.
        :param offered: the mechanisms that it offers, as far as it said so.
        """
        if hung_up or isinstance(error, base.AuthenticationFailedError):
            # A broker that shuts down hangs up just as on a wrong password. Not twice, though.
            return Refusal(self._wrong_credentials(), AuthenticationFailed, final_after=2)
        if isinstance(error, base.UnsupportedSaslMechanismError):
            return Refusal(
                f"{self} does not offer the mechanism {self.mechanism}, but "
                f"{', '.join(offered) or 'none'}: set client.sasl.mechanism to one that it offers",
                AuthenticationFailed,
                final_after=1,
            )
        if isinstance(error, base.IllegalSaslStateError):
            return Refusal(
                f"nobody signs in to {self} at this port, but client.sasl is set: use the address "
                "of a SASL listener, or leave client.sasl out",
                AuthenticationFailed,
                final_after=1,
            )
        return Refusal(
            f"signing in to {self} with {self.mechanism} failed: {_words(error)}",
            AuthenticationFailed,
        )

    def _wrong_credentials(self) -> str:
        if self.username is None:
            return f"{self} refused the token of client.sasl.token_provider ({self.mechanism})"
        return (
            f"{self} refused the user name or the password of user {self.username!r} "
            f"({self.mechanism}): check client.sasl.username and client.sasl.password, and that "
            "the broker knows this user for this mechanism"
        )

    def gave_no_answer(self, error: BaseException) -> Refusal:
        """The connection was made, and ended before the first answer."""
        wanted = [] if self.encrypted else ["TLS (client.ssl)"]
        if self.encrypted:
            wanted.append("a client certificate (client.ssl.cert_file)")
        if self.mechanism is None:
            wanted.append("signing in (client.sasl)")
        return Refusal(
            f"{self} hung up at the first question ({_words(error)}): it may want "
            + " or ".join(wanted)
        )


class Refusals:
    """What the last attempts to connect failed with, per address. Any thread."""

    def __init__(self) -> None:
        self._refusals: dict[Address, tuple[Refusal, int]] = {}

    def note(self, address: Address, refusal: Refusal) -> None:
        """An attempt failed; logs what trying again cannot mend, once."""
        previous, times = self._refusals.get(address, (None, 0))
        times = times + 1 if refusal == previous else 1
        self._refusals[address] = (refusal, times)
        if times == refusal.final_after:
            logger.warning("%s", refusal.text)

    def forget(self, address: Address) -> None:
        """The broker there answered."""
        self._refusals.pop(address, None)

    def times(self, address: Address) -> int:
        """How many times in a row it failed there."""
        return self._refusals[address][1] if address in self._refusals else 0

    def reasons(self) -> str:
        """Why the last attempts failed; empty if all brokers that were asked answered."""
        refused = list(self._refusals.values())
        return "; ".join(dict.fromkeys(refusal.text for refusal, _ in refused))

    def are_final(self, addresses: Collection[Address]) -> bool:
        """Whether all *addresses* failed, and one of them for good."""
        refusals = dict(self._refusals)
        return all(address in refusals for address in addresses) and any(
            _is_final(*refused) for refused in refusals.values()
        )

    def error(self, timeout: float, brokers: Collection[str]) -> BrokersUnavailable:
        """The error that says it all.

        :param timeout: seconds that were to be waited.
        :param brokers: the configured addresses.
        """
        refused = list(self._refusals.values())
        for refusal, times in refused:
            if _is_final(refusal, times):
                return refusal.kind(refusal.text)
        nobody = f"no broker answered within {timeout:g} s at {', '.join(brokers)}"
        if not refused:
            return BrokersUnavailable(
                f"{nobody}: check client.brokers, and that the brokers run and listen there"
            )
        kinds = [refusal.kind for refusal, _ in refused if refusal.kind is not BrokersUnavailable]
        return (kinds or [BrokersUnavailable])[0](f"{nobody}: {self.reasons()}")


def _is_final(refusal: Refusal, times: int) -> bool:
    return 0 < refusal.final_after <= times


def _words(error: BaseException) -> str:
    """What the base says, without the description of the connection before it."""
    words = str(error.args[0]) if error.args else ""
    return words.rpartition(">: ")[2] or type(error).__name__
