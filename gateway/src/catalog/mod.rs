//! What clients outside are told of the streams inside: those they have rights to, and no others.
//!
//! Stock clients look around before they work: for the figures of the account, for the stream of a subject. Refused,
//! they would not start; passed on, they would learn the names of everybody's streams. So these questions are taken
//! before they cross a link, put to the other side from here, and what comes back is told as far as it concerns the
//! asker: a stream is known to whoever may ask for its info (`$JS.API.STREAM.INFO.<name>`).

mod answer;
mod asking;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use broker::{Call, Handler, HandlerPort, LocalError, OriginKind, Reception, Server};
use identity::Grant;
use tokio::runtime::Handle;

use self::answer::Question;
use self::asking::Bus;

/// What a question that is being answered counts for, besides its own size: publishers are held when too many are.
const QUESTION_BYTES: usize = 4096;

/// Answers for as long as it is kept.
#[derive(Debug)]
pub struct Catalog {
    _handler: Arc<CatalogHandler>,
}

impl Catalog {
    /// Takes its place before the links. Needs a tokio runtime.
    ///
    /// # Errors
    /// When a subject is none: a mistake in this program.
    pub fn open(server: &Server) -> Result<Self, LocalError> {
        let mut opened = Ok(());
        let handler = Arc::new_cyclic(|this: &Weak<CatalogHandler>| {
            let port = server.handler(identity::DEFAULT_ACCOUNT, "catalog", this.clone());
            let bus = Bus::new(&port);
            opened = subscribe(&port, &bus);
            CatalogHandler { bus: Arc::new(bus), port: Arc::new(port), runtime: Handle::current() }
        });
        opened.map(|()| Self { _handler: handler })
    }
}

fn subscribe(port: &HandlerPort, bus: &Bus) -> Result<(), LocalError> {
    port.subscribe(&bus.answers(), None)?;
    Question::ALL.iter().try_for_each(|question| port.intercept(question.subject().as_bytes()))
}

struct CatalogHandler {
    bus: Arc<Bus>,
    port: Arc<HandlerPort>,
    runtime: Handle,
}

impl std::fmt::Debug for CatalogHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CatalogHandler").finish_non_exhaustive()
    }
}

impl Handler for CatalogHandler {
    fn call(&self, call: &mut Call<'_>) -> Reception {
        let Some(question) = Question::of_subject(call.subject()) else {
            return self.bus.answered(call);
        };
        // Who is of this process asks for all.
        if call.origin().kind() != OriginKind::Client {
            return Reception::Absent;
        }
        let grant = call.origin().grant();
        for message in call.messages().filter(|message| !message.reply.is_empty()) {
            self.answer(question, Arc::clone(&grant), message.reply.to_vec(), message.payload.to_vec());
        }
        Reception::Taken
    }
}

impl CatalogHandler {
    fn answer(&self, question: Question, grant: Arc<Grant>, reply: Vec<u8>, request: Vec<u8>) {
        let (bus, port) = (Arc::clone(&self.bus), Arc::clone(&self.port));
        let bytes = QUESTION_BYTES + request.len();
        port.hold(bytes);
        self.runtime.spawn(async move {
            let known =
                |stream: &str| grant.rights.may_publish(format!("$JS.API.STREAM.INFO.{stream}").as_bytes());
            if let Some(document) = answer::find(question, &request, &known, &*bus).await {
                bus.tell(&reply, document.to_string().as_bytes());
            }
            port.release(bytes);
        });
    }
}
