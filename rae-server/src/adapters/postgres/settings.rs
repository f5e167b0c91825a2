//! Where the database is and how it may be used.

use rae_core::{Error, Result, ports::Clock};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};
use tokio_postgres::config::{Config, Host, SslMode};

/// What is asked of the encryption, as libpq's `sslmode` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tls {
    /// None.
    Disable,
    /// Encrypted where the server can; its certificate is not checked. libpq's default.
    #[default]
    Prefer,
    /// Encrypted; the certificate is checked only where a root certificate is given.
    Require,
    /// Encrypted by a certificate of a known authority.
    VerifyCa,
    /// The same, made out to the host's name.
    VerifyFull,
}

impl std::str::FromStr for Tls {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                return Err(bad("sslmode must be disable, prefer, require, verify-ca or verify-full"));
            }
        })
    }
}

/// How a [`PostgresStore`](super::PostgresStore) connects. `Debug` shows no password.
#[derive(Clone)]
#[non_exhaustive]
pub struct PostgresSettings {
    pub(super) config: Config,
    /// Encryption.
    pub tls: Tls,
    /// A PEM file with the authorities to trust, instead of the built-in list.
    pub root_certificate: Option<PathBuf>,
    /// Most connections at once. Default 10.
    pub pool_size: usize,
    /// How long a call waits for a free connection before it is Unavailable (`pool_exhausted`). Default 5 s.
    pub pool_wait: Duration,
    /// How long connecting may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a statement may take where the call has no deadline. Default 30 s.
    pub statement_timeout: Duration,
    /// Says when batch ids, idempotency keys and leases run out. `None`, the default, is the database's own clock, which
    /// all replicas share; tests give theirs.
    pub clock: Option<Arc<dyn Clock>>,
}

/// The values of `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGSSLMODE` and `PGSSLROOTCERT`.
#[derive(Clone, Default)]
pub struct PgVariables {
    /// Host name, address, or folder of the Unix socket. Required.
    pub host: Option<String>,
    /// Default 5432.
    pub port: Option<String>,
    /// Required.
    pub user: Option<String>,
    /// Where the server asks for one.
    pub password: Option<String>,
    /// Default: the user's name.
    pub database: Option<String>,
    /// See [`Tls`].
    pub sslmode: Option<String>,
    /// See [`PostgresSettings::root_certificate`].
    pub sslrootcert: Option<String>,
}

fn bad(message: impl Into<String>) -> Error {
    Error::invalid(message).with_code("invalid_database_url")
}

impl PostgresSettings {
    /// Reads `postgres://user:password@host:port/database?sslmode=...`, as libpq writes it. InvalidInput
    /// (`invalid_database_url`); the message never repeats the URL.
    pub fn from_url(url: &str) -> Result<Self> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(bad("DATABASE_URL must begin with postgres:// or postgresql://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut tls, mut root, mut rest) = (Tls::default(), None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                // tokio-postgres knows neither the verifying modes nor the root certificate.
                Some(("sslmode", value)) => tls = value.parse()?,
                Some(("sslrootcert", value)) => root = Some(PathBuf::from(percent_decoded(value)?)),
                _ => rest.push(pair),
            }
        }
        let plain = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        // The parser's own message may quote a part of the URL.
        let config: Config = plain.parse().map_err(|_| {
            bad("DATABASE_URL must be postgres://user:password@host:port/database; encode special signs as %XX")
        })?;
        Self::new(config, tls, root)
    }

    /// From the variables that libpq reads.
    pub fn from_variables(variables: &PgVariables) -> Result<Self> {
        let mut config = Config::new();
        let host = variables.host.as_deref().filter(|host| !host.is_empty());
        config.host(host.ok_or_else(|| bad("PGHOST must name the host of the database"))?);
        config.user(variables.user.as_deref().ok_or_else(|| bad("PGUSER must name the user of the database"))?);
        if let Some(port) = &variables.port {
            config.port(port.parse().map_err(|_| bad("PGPORT must be a number from 1 to 65535"))?);
        }
        if let Some(password) = &variables.password {
            config.password(password);
        }
        if let Some(database) = &variables.database {
            config.dbname(database);
        }
        let tls = variables.sslmode.as_deref().map_or(Ok(Tls::default()), str::parse)?;
        Self::new(config, tls, variables.sslrootcert.as_ref().map(PathBuf::from))
    }

    fn new(mut config: Config, tls: Tls, root_certificate: Option<PathBuf>) -> Result<Self> {
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(bad("DATABASE_URL must name a host"));
        }
        if config.get_application_name().is_none() {
            config.application_name("rae");
        }
        Ok(Self {
            config,
            tls,
            root_certificate,
            pool_size: 10,
            pool_wait: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            clock: None,
        })
    }

    /// What the driver is given.
    pub(super) fn driver(&self) -> Config {
        let mut config = self.config.clone();
        config.ssl_mode(match self.tls {
            Tls::Disable => SslMode::Disable,
            Tls::Prefer => SslMode::Prefer,
            Tls::Require | Tls::VerifyCa | Tls::VerifyFull => SslMode::Require,
        });
        config.connect_timeout(self.connect_timeout);
        // A peer that vanished without a word is noticed after half a minute.
        config
            .keepalives_idle(Duration::from_secs(15))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(30));
        config
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.config.get_hosts().iter().map(shown).collect();
        f.debug_struct("PostgresSettings")
            .field("hosts", &hosts)
            .field("ports", &self.config.get_ports())
            .field("user", &self.config.get_user())
            .field("database", &self.config.get_dbname())
            .field("tls", &self.tls)
            .field("pool_size", &self.pool_size)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PgVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgVariables").field("host", &self.host).field("user", &self.user).finish_non_exhaustive()
    }
}

fn shown(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

fn percent_decoded(text: &str) -> Result<String> {
    let malformed = || bad("a % in DATABASE_URL must be followed by two hexadecimal digits");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2).ok_or_else(malformed)?;
        let digits = std::str::from_utf8(digits).map_err(|_| malformed())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| malformed())?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test reports by panicking
mod tests {
    use super::*;

    const URL: &str =
        "postgres://ada:s3cret%2F@db.example:6000/memories?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem";

    #[test]
    fn a_url_is_read_as_libpq_writes_it() {
        let settings = PostgresSettings::from_url(URL).unwrap();
        assert_eq!((settings.tls, settings.root_certificate.clone()), (Tls::VerifyFull, Some("/etc/ca.pem".into())));
        assert_eq!(settings.config.get_hosts(), [Host::Tcp("db.example".into())]);
        assert_eq!((settings.config.get_ports(), settings.config.get_dbname()), (&[6000][..], Some("memories")));
        assert_eq!(settings.config.get_password(), Some(&b"s3cret/"[..]));
        let socket = PostgresSettings::from_url("postgres://ada@%2Ftmp%2Fsocket/memories").unwrap();
        assert_eq!((socket.config.get_hosts(), socket.tls), (&[Host::Unix("/tmp/socket".into())][..], Tls::Prefer));
    }

    #[test]
    fn variables_are_read_as_libpq_names_them() {
        let text = |t: &str| Some(t.to_owned());
        let variables = PgVariables {
            host: text("db"),
            port: text("6000"),
            user: text("ada"),
            password: text("s3cret"),
            sslmode: text("require"),
            ..PgVariables::default()
        };
        let settings = PostgresSettings::from_variables(&variables).unwrap();
        assert_eq!((settings.tls, settings.config.get_ports()), (Tls::Require, &[6000][..]));
        assert!(PostgresSettings::from_variables(&PgVariables { port: text("x"), ..variables.clone() }).is_err());
        assert!(!format!("{variables:?}").contains("s3cret"));
    }

    #[test]
    fn neither_errors_nor_debug_show_the_password() {
        let shown = format!("{:?}", PostgresSettings::from_url(URL).unwrap());
        assert!(shown.contains("db.example") && !shown.contains("s3cret"), "{shown}");
        for wrong in [
            "s3cret",
            "mysql://ada:s3cret@db",
            "postgres://ada:s3cret@db:port/x",
            "postgres://ada:s3cret@db/x?sslmode=s3cret",
            "postgres://ada:s3cret@db/x?nonsense=s3cret",
            "postgres://ada:s3cret@db/x?sslrootcert=%s3cret",
            "postgres:///x?password=s3cret",
        ] {
            let error = PostgresSettings::from_url(wrong).unwrap_err();
            assert_eq!(error.code(), "invalid_database_url", "{wrong}");
            assert!(!format!("{error:?} {error}").contains("s3cret"), "{wrong}: {error:?}");
        }
    }
}
