//! WebSocket close codes (RFC 6455 §7.4): which may travel, and the body of a close frame.

/// The status code of a WebSocket close frame.
///
/// ```
/// use engineioxide::control::CloseCode;
///
/// assert_eq!(CloseCode::new(4001).map(CloseCode::get), Some(4001));
/// assert_eq!(CloseCode::new(1006), None, "1006 is reserved: it must never be sent");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The session did what it was for.
    pub const NORMAL: Self = Self(1000);
    /// The server goes away: a deploy, a shutdown.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the WebSocket protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A text message was not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A message was larger than `max_payload`.
    pub const TOO_BIG: Self = Self(1009);
    /// Come back in a moment.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// Come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// The code if it may appear in a frame: 1000-1003, 1007-1014 and 3000-4999.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// What to answer a peer's close frame with: its own code, or 1002 for a body that the RFC forbids.
pub(crate) fn answer_to(body: &[u8]) -> Result<CloseCode, CloseCode> {
    match body {
        [] => Ok(CloseCode::NORMAL),
        [_] => Err(CloseCode::PROTOCOL_ERROR),
        [high, low, reason @ ..] => {
            let code = CloseCode::new(u16::from_be_bytes([*high, *low])).ok_or(CloseCode::PROTOCOL_ERROR)?;
            match std::str::from_utf8(reason) {
                Ok(_) => Ok(code),
                Err(_) => Err(CloseCode::INVALID_PAYLOAD),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_frame_is_answered_with_its_own_code_or_with_what_is_wrong_with_it() {
        let table: [(&[u8], Result<u16, u16>); 7] = [
            (b"", Ok(1000)),
            (b"\x03", Err(1002)),
            (b"\x03\xe8", Ok(1000)),
            (b"\x0f\xa1bye", Ok(4001)),
            (b"\x03\xed", Err(1002)),
            (b"\x03\xe8\xff", Err(1007)),
            (b"\xff\xff", Err(1002)),
        ];
        for (body, want) in table {
            assert_eq!(answer_to(body).map(CloseCode::get).map_err(CloseCode::get), want, "{body:?}");
        }
    }
}
