//! What the broker is told before it starts: limits, the password, and how much a slow client may owe.
//!
//! [`BusOptions`] is what somebody typed; [`BusSettings`] is what passed the checks, and nothing after this file
//! doubts it. Every limit of the crate that can be configured stands here.

use std::fmt;
use std::time::Duration;

use subtle::ConstantTimeEq;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Redis' own ceiling for one bulk string (`proto-max-bulk-len`), so also ours for a frame.
const FRAME_BYTES_CEILING: usize = 512 * MIB;

/// The broker's settings before they are checked. The defaults suit one box with tens of workers.
#[derive(Clone, Debug)]
pub struct BusOptions {
    /// What TCP clients must present by `AUTH` or `HELLO`; Unix clients are known by their uid instead.
    pub password: Option<Password>,
    /// Connections at one time; the next one is told so and closed.
    pub clients_max: usize,
    /// Of these, those over TCP: strangers that have yet to authenticate must not keep the workers out, who come by the
    /// Unix socket.
    pub tcp_clients_max: usize,
    /// One command with all its arguments, in bytes.
    pub frame_bytes_max: usize,
    /// Arguments of one command, its name included.
    pub args_max: usize,
    /// Unfinished input of all clients together, in bytes; the client that crosses it is cut.
    pub input_bytes_max: usize,
    /// A channel name or a pattern, in bytes.
    pub name_bytes_max: usize,
    /// Channels and patterns of one client together.
    pub subscriptions_per_client_max: usize,
    /// Channels and patterns of all clients together.
    pub subscriptions_max: usize,
    /// All distinct patterns together that are neither a plain name nor `prefix*`, in bytes. Each of them costs every
    /// publish one glob match, so this bounds the work of a publish.
    pub wild_bytes_max: usize,
    /// What a client may owe before it is disconnected.
    pub output: OutputLimit,
    /// How long a client may take to authenticate.
    pub auth_deadline: Duration,
    /// Commands that a client may send before it has authenticated.
    pub auth_commands_max: u32,
}

impl Default for BusOptions {
    fn default() -> Self {
        Self {
            password: None,
            clients_max: 10_000,
            tcp_clients_max: 7_500,
            frame_bytes_max: 16 * MIB,
            args_max: 64 * KIB,
            input_bytes_max: 256 * MIB,
            name_bytes_max: 8 * KIB,
            subscriptions_per_client_max: 64 * KIB,
            subscriptions_max: 1024 * KIB,
            wild_bytes_max: 64 * KIB,
            output: OutputLimit::default(),
            auth_deadline: Duration::from_secs(5),
            auth_commands_max: 16,
        }
    }
}

/// How much unsent output a client may have: the rule of Redis' `client-output-buffer-limit pubsub`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OutputLimit {
    /// At this many bytes the client is cut at once.
    pub hard_bytes: usize,
    /// At this many bytes for longer than [`OutputLimit::soft_for`] the client is cut.
    pub soft_bytes: usize,
    /// How long a client may stay at or over [`OutputLimit::soft_bytes`].
    pub soft_for: Duration,
}

impl Default for OutputLimit {
    fn default() -> Self {
        Self { hard_bytes: 32 * MIB, soft_bytes: 8 * MIB, soft_for: Duration::from_secs(60) }
    }
}

/// A password that neither prints nor tells by its timing how much of a guess was right.
#[derive(Clone)]
pub struct Password(Box<[u8]>);

impl Password {
    /// Takes the password as it is.
    ///
    /// # Errors
    /// [`SettingsError::EmptyPassword`]: it would let everybody in while it looks like protection.
    pub fn new(secret: impl Into<Vec<u8>>) -> Result<Self, SettingsError> {
        let secret = secret.into();
        if secret.is_empty() { Err(SettingsError::EmptyPassword) } else { Ok(Self(secret.into())) }
    }

    /// Whether `guess` is the password, in a time that depends on the guess's length only.
    pub(crate) fn is(&self, guess: &[u8]) -> bool {
        self.0.ct_eq(guess).into()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Checked settings: made from [`BusOptions`] by `try_from`.
#[derive(Clone, Debug, Default)]
pub struct BusSettings(BusOptions);

impl std::ops::Deref for BusSettings {
    type Target = BusOptions;

    fn deref(&self) -> &BusOptions {
        &self.0
    }
}

impl TryFrom<BusOptions> for BusSettings {
    type Error = SettingsError;

    fn try_from(options: BusOptions) -> Result<Self, SettingsError> {
        let at_least_one = [
            ("clients_max", options.clients_max),
            ("args_max", options.args_max),
            ("name_bytes_max", options.name_bytes_max),
            ("subscriptions_per_client_max", options.subscriptions_per_client_max),
            ("subscriptions_max", options.subscriptions_max),
            ("output.soft_bytes", options.output.soft_bytes),
        ];
        if let Some(&(key, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(SettingsError::Zero { key });
        }
        if options.frame_bytes_max < KIB || options.frame_bytes_max > FRAME_BYTES_CEILING {
            return Err(SettingsError::FrameBytes { value: options.frame_bytes_max });
        }
        if options.input_bytes_max < options.frame_bytes_max {
            return Err(SettingsError::InputBelowFrame);
        }
        if options.output.soft_bytes > options.output.hard_bytes {
            return Err(SettingsError::SoftAboveHard);
        }
        // Else one legal message would cut every subscriber that it is for.
        if options.output.hard_bytes < options.frame_bytes_max + options.name_bytes_max + KIB {
            return Err(SettingsError::HardBelowFrame);
        }
        Ok(Self(options))
    }
}

/// Why settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// An empty password.
    #[error("the password is empty: leave it out to have none")]
    EmptyPassword,
    /// A limit of nothing.
    #[error("{key} must be at least 1")]
    Zero {
        /// The option's name.
        key: &'static str,
    },
    /// `frame_bytes_max` is too small to be useful, or above Redis' ceiling.
    #[error("frame_bytes_max is {value}; allowed: 1 KiB to 512 MiB")]
    FrameBytes {
        /// What was asked for, in bytes.
        value: usize,
    },
    /// All clients together may not hold what one may send.
    #[error("input_bytes_max is below frame_bytes_max")]
    InputBelowFrame,
    /// The soft output limit would never be reached.
    #[error("output.soft_bytes is above output.hard_bytes")]
    SoftAboveHard,
    /// One message of the largest size would cut its subscribers.
    #[error("output.hard_bytes must exceed frame_bytes_max and name_bytes_max by 1 KiB")]
    HardBelowFrame,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass_the_checks() {
        assert!(BusSettings::try_from(BusOptions::default()).is_ok());
    }

    #[test]
    fn a_hard_limit_below_one_message_is_refused() {
        let output = OutputLimit { hard_bytes: MIB, soft_bytes: MIB, soft_for: Duration::ZERO };
        let refused = BusSettings::try_from(BusOptions { output, ..BusOptions::default() });
        assert!(matches!(refused, Err(SettingsError::HardBelowFrame)));
    }

    #[test]
    fn a_password_does_not_print_and_is_compared_whole() {
        let password = Password::new("hunter2").unwrap();
        assert!(!format!("{password:?}").contains("hunter"));
        assert!(password.is(b"hunter2"));
        assert!(!password.is(b"hunter"));
        assert!(!password.is(b"hunter22"));
        assert!(matches!(Password::new(""), Err(SettingsError::EmptyPassword)));
    }
}
