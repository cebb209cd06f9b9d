//! Frames put together to messages: fragments, control frames between them, UTF-8, size limits (RFC 6455 §5.4, §8.1).
//!
//! A message that arrives whole is taken straight from the caller's read buffer. Memory is kept only while a frame or a
//! message is incomplete, and grows with what has arrived, not with what a header promises.

use bytes::Bytes;
use engineioxide_core::Str;

use super::{
    close::CloseCode,
    frame::{self, Header, Opcode},
};

/// The longest header that a client may send: two bytes, a 64-bit length, the mask.
const CLIENT_HEADER_MAX: usize = 14;

/// Something that the peer said.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    Text(Str),
    Binary(Bytes),
    Ping(Bytes),
    Pong,
    Close(Bytes),
}

/// How large the peer's frames and messages may be, in bytes of payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub frame_max: u64,
    pub message_max: u64,
}

/// Reads one direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    partial: Option<Box<Partial>>,
}

/// What has arrived of a frame or message that is not complete.
#[derive(Debug, Default)]
struct Partial {
    /// The front of a header.
    head: Vec<u8>,
    /// The frame whose payload is being read, and how much of it has been.
    frame: Option<(Header, u64)>,
    /// The payload of a control frame so far.
    control: Vec<u8>,
    message: Option<Message>,
}

#[derive(Debug)]
struct Message {
    opcode: Opcode,
    data: Vec<u8>,
    /// Text up to here is known to be UTF-8, so a bad byte is found before the rest of the message is waited for.
    valid: usize,
}

impl Decoder {
    /// Takes bytes from the front of `input` until an event is complete; `None` once all are taken.
    ///
    /// An error is the code to close the connection with; nothing may be read after it.
    pub(crate) fn next(&mut self, input: &mut &mut [u8], limits: Limits) -> Result<Option<Event>, CloseCode> {
        loop {
            if input.is_empty() {
                return Ok(None);
            }
            if self.partial.is_none()
                && let Some(event) = take_whole(input, limits)?
            {
                return Ok(Some(event));
            }
            let partial = self.partial.get_or_insert_default();
            let event = partial.advance(input, limits)?;
            if partial.is_idle() {
                self.partial = None;
            }
            if event.is_some() {
                return Ok(event);
            }
        }
    }
}

/// The usual case: a complete, unfragmented frame at the front of `input`.
fn take_whole(input: &mut &mut [u8], limits: Limits) -> Result<Option<Event>, CloseCode> {
    let Some((header, header_len)) = Header::parse(input)? else { return Ok(None) };
    check_size(&header, 0, limits)?;
    let available = (input.len() - header_len) as u64;
    if !header.fin || header.opcode == Opcode::Continuation || available < header.len {
        return Ok(None);
    }
    take(input, header_len);
    let payload = take(input, header.len as usize);
    frame::apply_mask(payload, header.mask, 0);
    let payload = payload.to_vec();
    event(header.opcode, payload).map(Some)
}

impl Partial {
    /// One step: a header, or as much payload as there is.
    fn advance(&mut self, input: &mut &mut [u8], limits: Limits) -> Result<Option<Event>, CloseCode> {
        let Some((header, done)) = self.frame else { return self.read_header(input, limits) };
        let len = usize::try_from(header.len - done).unwrap_or(usize::MAX).min(input.len());
        let payload = take(input, len);
        frame::apply_mask(payload, header.mask, done);
        let done = done + len as u64;
        self.frame = (done < header.len).then_some((header, done));
        if header.opcode.is_control() {
            self.control.extend_from_slice(payload);
            return match self.frame {
                Some(_) => Ok(None),
                None => event(header.opcode, std::mem::take(&mut self.control)).map(Some),
            };
        }
        let Some(message) = &mut self.message else { return Err(CloseCode::PROTOCOL_ERROR) };
        message.data.extend_from_slice(payload);
        message.check_text()?;
        match self.frame {
            None if header.fin => self.message.take().map(|m| event(m.opcode, m.data)).transpose(),
            _ => Ok(None),
        }
    }

    fn read_header(&mut self, input: &mut &mut [u8], limits: Limits) -> Result<Option<Event>, CloseCode> {
        let before = self.head.len();
        let fresh = input.len().min(CLIENT_HEADER_MAX - before);
        self.head.extend_from_slice(&input[..fresh]);
        let Some((header, header_len)) = Header::parse(&self.head)? else {
            take(input, fresh);
            return Ok(None);
        };
        take(input, header_len - before);
        self.head = Vec::new();
        self.begin(&header)?;
        let message_len = self.message.as_ref().map_or(0, |message| message.data.len() as u64);
        check_size(&header, message_len, limits)?;
        self.frame = Some((header, 0));
        // A frame without payload is complete already.
        if header.len == 0 { self.advance(&mut (&mut [] as &mut [u8]), limits) } else { Ok(None) }
    }

    /// Fits the frame into the message (§5.4).
    fn begin(&mut self, header: &Header) -> Result<(), CloseCode> {
        match (header.opcode, &self.message) {
            (opcode, _) if opcode.is_control() => Ok(()),
            (Opcode::Continuation, Some(_)) => Ok(()),
            (Opcode::Continuation, None) | (_, Some(_)) => Err(CloseCode::PROTOCOL_ERROR),
            (opcode, None) => {
                self.message = Some(Message { opcode, data: Vec::new(), valid: 0 });
                Ok(())
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.head.is_empty() && self.frame.is_none() && self.message.is_none()
    }
}

impl Message {
    fn check_text(&mut self) -> Result<(), CloseCode> {
        if self.opcode != Opcode::Text {
            return Ok(());
        }
        match std::str::from_utf8(&self.data[self.valid..]) {
            Ok(_) => self.valid = self.data.len(),
            // A character may go on in the next bytes; one that is wrong cannot.
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(CloseCode::INVALID_PAYLOAD),
        }
        Ok(())
    }
}

fn check_size(header: &Header, message_len: u64, limits: Limits) -> Result<(), CloseCode> {
    let message_len = message_len.saturating_add(header.len);
    if !header.opcode.is_control() && (header.len > limits.frame_max || message_len > limits.message_max) {
        return Err(CloseCode::TOO_BIG);
    }
    Ok(())
}

fn event(opcode: Opcode, payload: Vec<u8>) -> Result<Event, CloseCode> {
    Ok(match opcode {
        Opcode::Text => {
            let text = String::from_utf8(payload).map_err(|_| CloseCode::INVALID_PAYLOAD)?;
            Event::Text(Str::from(text))
        }
        Opcode::Binary => Event::Binary(payload.into()),
        Opcode::Ping => Event::Ping(payload.into()),
        Opcode::Pong => Event::Pong,
        Opcode::Close => Event::Close(payload.into()),
        Opcode::Continuation => return Err(CloseCode::PROTOCOL_ERROR),
    })
}

/// Splits the first `len` bytes off.
fn take<'a>(input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (front, rest) = std::mem::take(input).split_at_mut(len);
    *input = rest;
    front
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
