//! The commands at the control socket: what each asks of the supervisor.

use oxherd_contract::ids::WorkerIndex;

use crate::control::server::Heard;
use crate::control::{Answer, Outcome, Request};
use crate::fleet::{Event, Ticket};
use crate::reactor::{Interest, Source};
use crate::reload::Asker;
use crate::supervisor::Supervisor;

impl Supervisor {
    pub(crate) fn accept_client(&mut self) {
        if let Some((client, stream)) = self.control.accept(self.started.elapsed()) {
            let _ = self.reactor.add(stream, Source::Client(client)); // it expires unheard
        }
    }

    pub(crate) fn hear_client(&mut self, client: u64) {
        if let Some(stream) = self.control.flush(client) {
            return self.reactor.change(stream, Source::Client(client), Interest::ReadWrite);
        }
        match self.control.hear(client) {
            Heard::Nothing => {}
            Heard::Nonsense(sentence) => self.answer(client, &Err(sentence)),
            Heard::Asked(Request::Status) => {
                self.answer(client, &Ok(Answer::Status(Box::new(self.status()))))
            }
            Heard::Asked(Request::Broker) => self.answer(client, &Ok(Answer::Broker(self.broker()))),
            Heard::Asked(Request::Stop) => {
                self.stop_waiters.push(client);
                self.handle(Event::Stop);
            }
            Heard::Asked(Request::Restart { index }) => {
                self.handle(Event::Restart { index: WorkerIndex(index), ticket: Ticket(client) });
            }
            Heard::Asked(Request::Reload) => self.reload(Asker::Client(client)),
            Heard::Asked(Request::RestartBus) => {
                self.keep(|keeper, now| keeper.restart(now, Ticket(client)));
                self.pass_time();
            }
        }
    }

    pub(crate) fn answer(&mut self, client: u64, outcome: &Outcome) {
        if let Some(stream) = self.control.answer(self.started.elapsed(), client, outcome) {
            self.reactor.change(stream, Source::Client(client), Interest::ReadWrite);
        }
    }
}
