//! Which database, as a person writes it.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::ConnectOptions;
use sqlx::any::AnyConnectOptions;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use url::Url;

/// Where a catalogue is kept. What it displays has no password in it.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// `sqlite:///path/to/a/file`
    Sqlite(PathBuf),
    /// `postgres://user:password@host:port/database?sslmode=verify-full`
    Postgres(Url),
}

/// Why an address is none. What was given is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error(
        "the database's address is no URL ({0}); write postgres://user:password@host:5432/database, \
         with special characters of the password as %XX, or sqlite:///path/to/a/file"
    )]
    NoUrl(url::ParseError),
    #[error(
        "there is no database engine {scheme:?}, did you mean {nearest:?}? Use postgres:// or sqlite://"
    )]
    UnknownScheme { scheme: String, nearest: &'static str },
    #[error("the database's address names no file; write sqlite:///path/to/a/file")]
    NoFile,
    #[error("the address of a file takes no parameters; a ? in its name is written %3F")]
    NoParameters,
    #[error("a database's address has no parameter {name:?}, did you mean {nearest:?}?")]
    UnknownParameter { name: String, nearest: &'static str },
}

const SCHEMES: [&str; 3] = ["postgres", "postgresql", "sqlite"];

/// Parameters of PostgreSQL's address that sqlx knows; it would log the others with their values.
const PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(rest) = text.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() {
                return Err(AddressError::NoFile);
            }
            if path.contains('?') {
                return Err(AddressError::NoParameters);
            }
            let bytes = percent_decode_str(path).collect();
            return Ok(Self::Sqlite(PathBuf::from(OsString::from_vec(bytes))));
        }
        let url = Url::parse(text).map_err(AddressError::NoUrl)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            let nearest = schemas::nearest(url.scheme(), SCHEMES);
            return Err(AddressError::UnknownScheme { scheme: url.scheme().to_owned(), nearest });
        }
        for (name, _) in url.query_pairs() {
            if !PARAMETERS.contains(&&*name) && !name.starts_with("options[") {
                let nearest = schemas::nearest(&name, PARAMETERS);
                return Err(AddressError::UnknownParameter { name: name.into_owned(), nearest });
            }
        }
        Ok(Self::Postgres(url))
    }
}

impl Address {
    /// A catalogue in a file.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::Sqlite(path.as_ref().to_owned())
    }

    /// The same for sqlx.
    pub(super) fn options(&self) -> Result<AnyConnectOptions, sqlx::Error> {
        self.with("mode=rwc")
    }

    /// The same, to read only; a file that `is_still` is taken to be changed by nobody.
    pub(super) fn reading(&self, is_still: bool) -> Result<AnyConnectOptions, sqlx::Error> {
        self.with(if is_still { "mode=ro&immutable=true" } else { "mode=ro" })
    }

    fn with(&self, parameters: &str) -> Result<AnyConnectOptions, sqlx::Error> {
        match self {
            Self::Postgres(url) => AnyConnectOptions::from_url(url),
            Self::Sqlite(path) => {
                let path = path.to_str().ok_or_else(|| {
                    sqlx::Error::Configuration(
                        "the file's name is not UTF-8, choose another".into(),
                    )
                })?;
                // Encoded whole, so that nothing in a name is taken for a part of the URL.
                let path = utf8_percent_encode(path, NON_ALPHANUMERIC);
                format!("sqlite:{path}?{parameters}").parse()
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => {
                write!(f, "{}://", url.scheme())?;
                if !url.username().is_empty() {
                    write!(f, "{}@", url.username())?;
                }
                f.write_str(url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                // Parameters may hold a password too.
                f.write_str(url.path())
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let file = |path| Ok(Address::file(path));
        assert_eq!("sqlite:///var/lib/mill.db".parse(), file("/var/lib/mill.db"));
        assert_eq!("sqlite://mill.db".parse(), file("mill.db"));
        assert_eq!("sqlite:mill.db".parse(), file("mill.db"));
        assert_eq!("sqlite:///a%20b%25.db".parse(), file("/a b%.db"));
        let url = "postgres://ann@db.local:5433/mill?sslmode=require&options[search_path]=x";
        assert!(matches!(url.parse(), Ok(Address::Postgres(_))));
        assert!(matches!("postgresql:///mill".parse(), Ok(Address::Postgres(_))));
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_remedy_and_without_its_password() {
        let table = [
            ("mysql://ann:hush@db/mill", "no database engine \"mysql\""),
            ("postgre://ann:hush@db/mill", "did you mean \"postgres\""),
            ("sqlite:", "names no file"),
            ("sqlite:///mill.db?mode=ro", "no parameters"),
            ("ann:hush@db", "no database engine"),
            ("//ann:hush@db/mill", "is no URL"),
            ("postgres://ann:hu/sh@db/mill", "special characters"),
            ("postgres://ann@db/mill?passwrod=hush", "did you mean \"password\""),
        ];
        for (text, expected) in table {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("hush") && !error.contains("sh@"), "{text}: {error}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let url = "postgres://ann:hush@db:5433/mill?password=hush&sslmode=require";
        let address: Address = url.parse().unwrap();
        assert_eq!(address.to_string(), "postgres://ann@db:5433/mill");
        assert_eq!(format!("{address:?}"), "Address(postgres://ann@db:5433/mill)");
    }
}
