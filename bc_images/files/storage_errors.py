"""Classifies the errors of file-store libraries, none of which has to be installed."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from bc_images.errors import FileStoreError, error_chain
from bc_images.redaction import redact

__all__ = ["classify", "one_line", "storage_error", "variables"]

Kind: TypeAlias = Literal["credentials", "network", "missing", "other"]

_CREDENTIALS = {  # names of exception classes
    "AuthenticationException", "AzureSigningError", "BadHostKeyException", "ClientAuthenticationError",
    "CredentialRetrievalError", "CredentialUnavailableError", "DefaultCredentialsError", "GoogleAuthError",
    "HostKeyNotVerifiable", "LogonFailure", "NoCredentialsError", "PartialCredentialsError", "PermissionDenied",
    "PermissionError", "ProfileNotFound", "SMBAuthenticationError", "SSOTokenLoadError", "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
}  # fmt: skip
_CREDENTIAL_CODES = {  # error codes of S3 and Azure
    "AccessDenied", "AuthenticationFailed", "AuthorizationFailure", "ExpiredToken", "InvalidAccessKeyId",
    "InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired",
}  # fmt: skip
_CREDENTIAL_TEXT = re.compile(
    r"^Forbidden\b|\bcredentials!|^unable to connect to account|No authentication methods available|^530 |"
    r"STATUS_LOGON_FAILURE|STATUS_ACCESS_DENIED",
)
_NETWORK = {  # names of exception classes
    "ChannelOpenError", "ClientConnectionError", "ConnectTimeoutError", "ConnectionClosedError", "ConnectionLost",
    "EOFError", "EndpointConnectionError", "FSTimeoutError", "NoValidConnectionsError", "ProxyConnectionError",
    "ReadTimeoutError", "SMBConnectionClosed", "SSHException", "ServerDisconnectedError", "ServiceRequestError",
    "TransportError",
}  # fmt: skip
_NETWORK_ERRNO = re.compile(
    "ECONNREFUSED|ECONNRESET|ECONNABORTED|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|ETIMEDOUT|EPIPE|ENOTCONN"
)

_VARIABLES = {
    "s3": (
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL"),
        "the files in ~/.aws",
    ),
    "gs": (
        ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "STORAGE_EMULATOR_HOST"),
        "gcloud's application default credentials",
    ),
    "az": (
        (
            "AZURE_STORAGE_CONNECTION_STRING",
            "AZURE_STORAGE_ACCOUNT_NAME",
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_STORAGE_CLIENT_ID",
            "AZURE_STORAGE_CLIENT_SECRET",
            "AZURE_STORAGE_TENANT_ID",
        ),
        "the sign-in of Azure's own tools",
    ),
}
_FAMILY = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
_CONTAINER = {"s3": "bucket", "gs": "bucket", "az": "container"}


def storage_error(error: BaseException, operation: str, display_name: str, scheme: str, url: str) -> FileStoreError:
    """Return the error to show for one of a library: the operation, the place, why, and what to do.

    Args:
        error: what the library raised.
        operation: a verb and its object, to be followed by the place, such as ``list``.
        display_name: how messages call the file store.
        scheme: of its URL, the innermost one.
        url: its URL, of which only the host is shown.
    """
    kind = classify(error)
    place = f"the file store {display_name}{_container(scheme, url)}"
    if kind == "credentials":
        advice = variables(scheme) or "Check user, password or key, and the permissions of that user."
        return FileStoreError(f"Permission denied: cannot {operation} {place}: {_reason(error)}. {advice}")
    if kind == "network":
        return FileStoreError(
            f"Cannot {operation} {place}: {_network_reason(error)} ({_host(error, url)}). "
            "Check the address and the network, then run again."
        )
    if kind == "missing":
        thing = _CONTAINER.get(_FAMILY.get(scheme, scheme), "folder")
        return FileStoreError(
            f"Cannot {operation} {place}: it does not exist. Create the {thing}, or check file_store."
        )
    advice = variables(scheme) if "400" in _codes(error) else ""  # S3 has no text for an expired token in some answers
    return FileStoreError(
        f"Cannot {operation} {place}: {_reason(error)}. Check the address and the network. {advice}".strip()
    )


def variables(scheme: str) -> str:
    """Say where an object store's library looks for credentials and which of these are set; never their values."""
    family = _FAMILY.get(scheme, scheme)
    if family not in _VARIABLES:
        return ""
    names, files = _VARIABLES[family]
    found = [name for name in names if os.environ.get(name)]
    missing = [name for name in names if name not in found]
    texts = [f"set: {', '.join(found)}" if found else "", f"not set: {', '.join(missing)}" if missing else ""]
    return f"Credentials were looked for in the environment ({'; '.join(filter(None, texts))}) and in {files}."


def classify(error: BaseException) -> Kind:
    """Return what an error of a library is about."""
    chain = list(error_chain(error, with_contexts=True))
    if any(_is_about_credentials(link) for link in chain):
        return "credentials"
    if any(_is_about_the_network(link) for link in chain):
        return "network"
    return "missing" if isinstance(error, FileNotFoundError) else "other"


def one_line(error: BaseException) -> str:
    """Return the text of an error in one short line without secrets and without a full stop."""
    return redact(" ".join(str(error).split()) or type(error).__name__)[:300].rstrip(".")


def _names(link: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(link).__mro__}


def _is_about_credentials(link: BaseException) -> bool:
    statuses = {str(getattr(link, name, "")) for name in ("status", "status_code", "code")}
    codes = {str(getattr(link, "error_code", "")).rpartition(".")[2], _s3_code(link)}
    return bool(
        _names(link) & _CREDENTIALS
        or statuses & {"401", "403"}
        or codes & {*_CREDENTIAL_CODES, "401", "403"}
        or _CREDENTIAL_TEXT.search(str(link))
    )


def _s3_code(link: BaseException) -> str:
    response: Any = getattr(link, "response", None)
    detail = response.get("Error") if isinstance(response, dict) else None
    return str(detail.get("Code", "")) if isinstance(detail, dict) else ""


def _is_about_the_network(link: BaseException) -> bool:
    if isinstance(link, ConnectionError | TimeoutError | socket.gaierror | ssl.SSLError):
        return True
    return _network_errno(link) is not None or bool(_names(link) & _NETWORK)


def _network_errno(link: BaseException) -> int | None:
    """Return the number of an operating system's error, if it is about the network."""
    number = link.errno if isinstance(link, OSError) else None
    return number if number is not None and _NETWORK_ERRNO.fullmatch(errno.errorcode.get(number, "")) else None


def _codes(error: BaseException) -> list[str]:
    """Return the codes that the service gave."""
    codes = [
        _s3_code(link) or str(getattr(link, "error_code", "") or "") for link in error_chain(error, with_contexts=True)
    ]
    return [code.rpartition(".")[2] for code in codes if code]


def _reason(error: BaseException) -> str:
    """Return the code of the service, where there is one, and the text of the error."""
    return ": ".join([*_codes(error)[:1], _first_line(error)])


def _first_line(error: BaseException) -> str:
    """Return the first line of an error's text: the rest is the answer of the service, or a list of attempts."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[0].split()) if lines else type(error).__name__
    return redact(text)[:200].rstrip(".!")


def _network_reason(error: BaseException) -> str:
    chain = list(error_chain(error, with_contexts=True))
    for link in chain:
        if isinstance(link, ssl.SSLCertVerificationError):
            return "the certificate is not valid"
        if _network_errno(link) == errno.ECONNREFUSED:
            return "connection refused"
        if isinstance(link, socket.gaierror):
            return "host name not found"
    for link in chain:
        if (number := _network_errno(link)) is not None:
            return os.strerror(number).lower()
        if isinstance(link, TimeoutError) or "Timeout" in type(link).__name__:
            return "no answer in time"
    return _first_line(error)


def _container(scheme: str, url: str) -> str:
    """Return the bucket or container in brackets, where there is one."""
    thing = _CONTAINER.get(_FAMILY.get(scheme, scheme))
    name = url.rpartition("::")[2].partition("://")[2].partition("/")[0].partition("@")[0]
    return f" ({thing} {redact(name)})" if thing and name else ""


def _host(error: BaseException, url: str) -> str:
    """Return host and port: as the library tells them, else as the address does."""
    for link in error_chain(error, with_contexts=True):
        host, port = getattr(link, "host", None), getattr(link, "port", None)
        if isinstance(host, str) and host:
            return f"{host}:{port}" if port else host
        details: Any = getattr(link, "kwargs", None)
        if isinstance(details, dict) and (endpoint := details.get("endpoint_url")):
            return urlsplit(str(endpoint)).netloc.rpartition("@")[2]
        if named := re.search(r"host(?:='| )([\w.-]+(?::\d+)?)", str(link)):
            return named[1]
    return urlsplit(url.rpartition("::")[2]).netloc.rpartition("@")[2] or "no host in the address"
