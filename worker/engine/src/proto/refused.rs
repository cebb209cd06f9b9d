//! Why a request gets no service: Engine.IO's error codes, with the status and body that say so.

use std::{borrow::Cow, time::Duration};

use http::StatusCode;

use super::handshake::HandshakeError;
use crate::control::Conduct;

/// A refusal, named after the code that the protocol has for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("Transport unknown")]
    TransportUnknown,
    #[error("Session ID unknown")]
    UnknownSession,
    #[error("Bad handshake method")]
    BadMethod,
    #[error("Bad request")]
    BadRequest,
    #[error("Unsupported protocol version")]
    UnsupportedProtocol,
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// A second poll or post while one is under way, a packet that cannot be read.
    #[error("Bad packet")]
    BadPacket,
    #[error("Payload too large")]
    TooLarge,
    #[error("{0}")]
    Admission(Refusal),
}

impl Refused {
    /// Status, JSON body, and seconds for `Retry-After`.
    pub(crate) fn answer(&self, conduct: Conduct) -> (StatusCode, Option<String>, Option<Duration>) {
        let code = match self {
            Self::TransportUnknown => 0,
            Self::UnknownSession => 1,
            Self::BadMethod => 2,
            Self::BadRequest | Self::Handshake(HandshakeError::NotAnUpgrade | HandshakeError::Key) => 3,
            Self::UnsupportedProtocol => 5,
            Self::BadPacket => return (StatusCode::BAD_REQUEST, None, None),
            Self::TooLarge => return (StatusCode::PAYLOAD_TOO_LARGE, None, None),
            Self::Handshake(HandshakeError::Version) => return (StatusCode::UPGRADE_REQUIRED, None, None),
            Self::Admission(refusal) => {
                return (refusal.status, Some(body("4", &refusal.message)), refusal.retry_after);
            }
        };
        // Node writes a number, engineioxide a string.
        let code = match conduct {
            Conduct::Node => code.to_string(),
            Conduct::Stock => format!("\"{code}\""),
        };
        let message = match self {
            Self::Handshake(_) => Cow::Borrowed("Bad request"),
            other => Cow::Owned(other.to_string()),
        };
        (StatusCode::BAD_REQUEST, Some(body(&code, &message)), None)
    }
}

fn body(code: &str, message: &str) -> String {
    // What JSON would have to escape (RFC 8259 §7).
    let message = message.replace(|c: char| matches!(c, '"' | '\\') || c.is_control(), "'");
    format!(r#"{{"code":{code},"message":"{message}"}}"#)
}

/// The answer of an [`Admission`](crate::control::Admission) hook that wants no session. As a request extension, the
/// answer to that request, whatever it asks for: what is decided in front of the application is said below its layers,
/// so that a browser may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// 403, Engine.IO's "forbidden" (code 4).
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::FORBIDDEN, message: message.into(), retry_after: None }
    }

    /// 503 with a `Retry-After` in whole seconds: full, or about to leave.
    pub fn unavailable(message: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { status, message: message.into(), retry_after: Some(retry_after) }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_number_as_in_node_or_a_string_as_in_engineioxide() {
        let (status, body, _) = Refused::UnknownSession.answer(Conduct::Node);
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(body.unwrap(), r#"{"code":1,"message":"Session ID unknown"}"#);
        let (_, body, _) = Refused::UnknownSession.answer(Conduct::Stock);
        assert_eq!(body.unwrap(), r#"{"code":"1","message":"Session ID unknown"}"#);
    }

    #[test]
    fn a_refusal_is_json_whatever_its_message_is() {
        let refused = Refused::Admission(Refusal::forbidden("say \"a\\b\"\n\u{1}é"));
        let (_, body, _) = refused.answer(Conduct::Node);
        let body: serde_json::Value = serde_json::from_str(&body.unwrap()).unwrap();
        assert_eq!(body["code"], 4);
        assert!(body["message"].as_str().unwrap().starts_with("say 'a'b'"), "{body}");
    }
}
