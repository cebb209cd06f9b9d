//! A handler that gives back what it gets, and does as told.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use engineioxide::{
    Str,
    handler::EngineIoHandler,
    socket::{DisconnectReason, Socket},
};

/// Echoes; `panic`, `close`, `hold` and `count` are commands.
#[derive(Debug, Default)]
pub struct Echo {
    pub sockets: Mutex<Vec<Arc<Socket<()>>>>,
    pub reasons: Mutex<Vec<DisconnectReason>>,
    pub messages: AtomicUsize,
    /// Who has it keeps `hold` from returning.
    pub hold: Mutex<()>,
    /// Emitted in `on_connect`.
    pub greeting: Option<&'static str>,
    /// Panic in `on_connect`.
    pub panic_at_connect: bool,
}

impl Echo {
    pub fn reasons(&self) -> Vec<DisconnectReason> {
        self.reasons.lock().unwrap().clone()
    }

    pub fn socket(&self, index: usize) -> Arc<Socket<()>> {
        self.sockets.lock().unwrap()[index].clone()
    }
}

impl EngineIoHandler for Echo {
    type Data = ();

    fn on_connect(self: Arc<Self>, socket: Arc<Socket<()>>) {
        self.sockets.lock().unwrap().push(socket.clone());
        if let Some(greeting) = self.greeting {
            socket.emit(greeting).unwrap();
        }
        assert!(!self.panic_at_connect, "told to panic");
    }

    fn on_disconnect(&self, socket: Arc<Socket<()>>, reason: DisconnectReason) {
        assert!(socket.is_closed());
        self.reasons.lock().unwrap().push(reason);
    }

    fn on_message(self: &Arc<Self>, msg: Str, socket: Arc<Socket<()>>) {
        self.messages.fetch_add(1, Ordering::SeqCst);
        match &*msg {
            "panic" => panic!("told to panic"),
            "close" => socket.close(DisconnectReason::ClosingServer),
            "hold" => drop(self.hold.lock()),
            "count" => socket.emit(self.messages.load(Ordering::SeqCst).to_string()).unwrap(),
            _ => _ = socket.emit(msg),
        }
    }

    fn on_binary(self: &Arc<Self>, data: Bytes, socket: Arc<Socket<()>>) {
        self.messages.fetch_add(1, Ordering::SeqCst);
        let _ = socket.emit_binary(data);
    }
}
