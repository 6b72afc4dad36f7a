"""libpq's URL: every parameter works or is refused by name, and no password is ever shown."""

import pytest

from eventstore.libpq_url import CONNECT_SECONDS, parse_url, without_password

SERVER = "postgresql://ada:s3cret@db.example.org:5432/spreaview"


@pytest.mark.parametrize(
    "parameters",
    [
        "sslmode=verify-full&sslrootcert=/etc/ca.pem&sslcert=/etc/c.pem&sslkey=/etc/c.key",
        "sslmode=require&channel_binding=prefer",
        "sslrootcert=system",
        "sslrootcert=system&sslmode=verify-full",
        "target_session_attrs=read-write&application_name=importer&connect_timeout=5",
        "options=-c%20search_path%3Dpublic&gssencmode=disable&client_encoding=UTF8",
        "ssl_min_protocol_version=TLSv1.3&sslnegotiation=direct&sslmode=require",
    ],
)
def test_supported_parameters_are_taken(parameters: str) -> None:
    parse_url(f"{SERVER}?{parameters}")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("channel_binding=require", "channel_binding=require is not supported"),
        ("keepalives_idle=10", "keepalives_idle is not supported"),
        ("gssencmode=require", "gssencmode=require is not supported"),
        ("client_encoding=LATIN1", "client_encoding=LATIN1 is not supported"),
        ("sslmode=verify", "sslmode=verify is not one of disable, allow"),
        ("sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
        ("connect_timeout=soon", "connect_timeout=soon is not a whole number"),
        ("pool_size=5", "pool_size is not a parameter that is supported"),
        ("sslmode", "without a value: sslmode"),
    ],
)
def test_unsupported_parameters_are_refused_by_name(parameters: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_url(f"{SERVER}?{parameters}")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:s3cr@t@db/spreaview",
        "postgresql://ada:s3cr/et@db/spreaview",
        "postgresql://ada:s3cr?et@db/spreaview",
        "postgresql://ada:s3cr#et@db/spreaview",
        "postgresql://ada:s3cret@db:54x2/spreaview",
        "postgresql://ada:s3cret@db:70000/spreaview",
        "postgresql://ada:s3cret@[::1/spreaview",
        "mysql://ada:s3cret@db/spreaview",
    ],
)
def test_an_invalid_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) ") as caught:
        parse_url(url)
    assert "s3cr" not in str(caught.value)


def test_the_seconds_to_connect_are_libpqs() -> None:
    assert parse_url(SERVER).connect_seconds == CONNECT_SECONDS
    assert parse_url(f"{SERVER}?connect_timeout=7").connect_seconds == 7
    assert parse_url(f"{SERVER}?connect_timeout=1").connect_seconds == 2
    assert parse_url(f"{SERVER}?connect_timeout=0").connect_seconds == CONNECT_SECONDS


def test_a_value_is_read_as_libpq_reads_it() -> None:
    read = parse_url(f"{SERVER}?sslrootcert=/etc/c++/ca%20file.pem&sslrootcert=/etc/b+c.pem")
    assert read.files == {"sslrootcert": "/etc/b+c.pem"}
    assert read.dsn.endswith("?sslrootcert=%2Fetc%2Fb%2Bc.pem")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (SERVER, "postgresql://ada:***@db.example.org:5432/spreaview"),
        ("postgresql://ada@db/x", "postgresql://ada@db/x"),
        (
            "postgresql://db/x?password=s3cret&sslmode=require",
            "postgresql://db/x?password=***&sslmode=require",
        ),
        ("postgresql://ada:s3@cr/et?x@a,b:1/x", "postgresql://ada:***@a,b:1/x"),
        ("postgresql://ada@db/x?sslpassword=s3cret", "postgresql://ada@db/x?sslpassword=***"),
    ],
)
def test_a_shown_url_has_no_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_the_repr_has_no_password() -> None:
    assert "s3cret" not in repr(parse_url(f"{SERVER}?sslpassword=s3cret"))
