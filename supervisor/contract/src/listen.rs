//! Listen addresses and how they are written: `127.0.0.1:3000`, `[::]:3000`, `unix:/run/oxherd/http.sock`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest path of a Unix socket: `sun_path` holds 108 bytes with the final NUL (`unix(7)`).
const UNIX_PATH_BYTES_MAX: usize = 107;

/// Where a box listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Address {
    /// `HOST:PORT` with a literal IP address; an IPv6 wildcard takes IPv4 too. Port 0 asks the kernel for a free one.
    Tcp(SocketAddr),
    /// `unix:PATH`, an absolute path.
    Unix(PathBuf),
}

/// Who connects to a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Clients and their proxies.
    #[default]
    Clients,
    /// Other boxes of the cluster.
    Boxes,
}

/// Why a text is no listen address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Neither of the two forms.
    #[error("expected IP:PORT, [IPV6]:PORT or unix:/ABSOLUTE/PATH")]
    Form,
    /// A Unix socket with a relative path: the supervisor and its children might see different files.
    #[error("the path of a Unix socket must be absolute")]
    RelativePath,
    /// The kernel's limit.
    #[error("the path of a Unix socket may have {UNIX_PATH_BYTES_MAX} bytes at most")]
    PathTooLong,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some(path) = text.strip_prefix("unix:") else {
            return text.parse().map(Address::Tcp).map_err(|_| AddressError::Form);
        };
        match PathBuf::from(path) {
            path if !path.is_absolute() => Err(AddressError::RelativePath),
            path if path.as_os_str().len() > UNIX_PATH_BYTES_MAX => Err(AddressError::PathTooLong),
            path => Ok(Address::Unix(path)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What decides which slot of a listener a connection goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Affinity {
    /// As `Connection` for those who bring many clients, this machine and trusted proxies; as `SourceIp` for all others.
    #[default]
    Auto,
    /// The client's address: all connections of one address go to one slot.
    SourceIp,
    /// The client's address and port: each connection goes its own way.
    Connection,
}

impl FromStr for Affinity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Affinity::Auto),
            "source-ip" => Ok(Affinity::SourceIp),
            "connection" => Ok(Affinity::Connection),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in ["127.0.0.1:3000", "[::]:0", "[fe80::1]:65535", "unix:/run/a b.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        let long = format!("unix:/{}", "x".repeat(UNIX_PATH_BYTES_MAX));
        for (text, error) in [
            ("", AddressError::Form),
            ("3000", AddressError::Form),
            (":3000", AddressError::Form),
            ("localhost:3000", AddressError::Form),
            ("127.0.0.1:65536", AddressError::Form),
            ("unix:", AddressError::RelativePath),
            ("unix:run/a.sock", AddressError::RelativePath),
            (long.as_str(), AddressError::PathTooLong),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }
}
