//! The certificates' files: read here and nowhere else, since a worker reads none, and checked before anything starts.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oxherd_contract::edge::{CERTIFICATES_BYTES_MAX, Certificate};
use oxherd_contract::secret::Secret;
use oxherd_worker::tls::{CheckedCertificate, Validity};

use super::complaint::Complaints;
use super::edge::TlsFiles;
use super::key::Key;
use super::typed::Typed;

/// What is left of a certificate's time when somebody should hear of it.
const EXPIRES_SOON: Duration = Duration::from_secs(7 * DAY_SECONDS);
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Permission bits for everybody.
const WORLD: u32 = 0o007;

/// A certificate of the plan, and what an operator should know of it.
pub(crate) struct Pairs {
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) warnings: Vec<String>,
}

/// Reads all pairs of files below `directory`; what is wrong is complained about under its own key.
pub(crate) fn read(
    files: &TlsFiles,
    directory: &Path,
    typed: impl Fn(Key) -> Typed,
    complaints: &mut Complaints,
) -> Pairs {
    let mut read = Pairs { certificates: Vec::new(), warnings: Vec::new() };
    let (chains, keys) = (files.certificates.len(), files.keys.len());
    if chains != keys {
        let why =
            format!("expected one key for each certificate: there are {chains} certificates and {keys} keys");
        complaints.value(Key::TlsKeys, &typed(Key::TlsKeys), why);
        return read;
    }
    for (chain, key) in files.certificates.iter().zip(&files.keys) {
        let (chain, key) = (directory.join(chain), directory.join(key));
        let mut complain = |about: Key, path: &Path, why: String| {
            complaints.value(about, &typed(about), format!("{}: {why}", path.display()));
        };
        let texts = match (text(&chain), text(&key)) {
            (Ok(chain), Ok(key)) => (chain, key),
            (Err(error), _) => {
                complain(Key::TlsCertificate, &chain, format!("cannot read it: {error}"));
                continue;
            }
            (_, Err(error)) => {
                complain(Key::TlsKeys, &key, format!("cannot read it: {error}"));
                continue;
            }
        };
        let certificate =
            Certificate { name: chain.display().to_string(), chain: texts.0, key: Secret::new(texts.1) };
        match CheckedCertificate::new(&certificate) {
            Ok(checked) => {
                read.warnings.extend(time_warning(&chain, checked.validity(now())));
                read.warnings.extend(mode_warning(&key));
                read.certificates.push(certificate);
            }
            Err(error) if error.is_about_key() => complain(Key::TlsKeys, &key, error.to_string()),
            Err(error) => complain(Key::TlsCertificate, &chain, error.to_string()),
        }
    }
    let bytes = serde_json::to_vec(&read.certificates).map_or(usize::MAX, |json| json.len());
    if bytes > CERTIFICATES_BYTES_MAX {
        let why =
            format!("the files are too large: expected {CERTIFICATES_BYTES_MAX} bytes together at most");
        complaints.value(Key::TlsCertificate, &typed(Key::TlsCertificate), why);
    }
    read
}

/// A regular file only: a pipe would keep the reader waiting.
fn text(path: &Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    File::open(path)?.take(CERTIFICATES_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn time_warning(path: &Path, validity: Validity) -> Option<String> {
    let days = |time: Duration| time.as_secs() / DAY_SECONDS;
    let what = match validity {
        Validity::Expired(ago) => format!("expired {} days ago: clients refuse it", days(ago)),
        Validity::NotYet(left) => {
            format!("is not valid before {} days from now: clients refuse it", days(left))
        }
        Validity::Good(left) if left < EXPIRES_SOON => format!("expires in {} days", days(left)),
        Validity::Good(_) => return None,
    };
    Some(format!("the certificate {} {what}", path.display()))
}

fn mode_warning(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.mode();
    (mode & WORLD != 0).then(|| format!("the key {} can be read by everybody: chmod o= {0}", path.display()))
}
