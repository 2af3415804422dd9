//! What is answered in the publisher's task, and what goes on to the API's thread.

use std::sync::Arc;

use broker::{Call, Letter, Reception};

use super::{Answer, ClientInfo, Request};
use crate::account::Account;
use crate::errors::STREAM_TOO_MANY_REQUESTS;
use crate::stream::{Consumers, Stream};

/// Takes what was published to the API, to acknowledgement and to flow control subjects.
pub(crate) fn receive(account: &Account, call: &mut Call<'_>) -> Reception {
    let subject = call.subject();
    if let Some(rest) = subject.strip_prefix(b"$JS.ACK.") {
        return acknowledgement(account, call, rest);
    }
    if let Some(rest) = subject.strip_prefix(b"$JS.FC.") {
        return of_consumer(account, call, rest, |consumers, name, call| {
            each(call, |call, message| consumers.flow(name, call, message))
        });
    }
    let Some(operation) = operation(account, subject) else { return Reception::Absent };
    if operation.starts_with(b"$") {
        // A write into a bucket: its stream takes it, see `Account::answer_domain`.
        return Reception::Absent;
    }
    if let Some(rest) = operation.strip_prefix(b"CONSUMER.MSG.NEXT.") {
        return of_consumer(account, call, rest, |consumers, name, call| {
            each(call, |call, message| consumers.next(name, call, message))
        });
    }
    if let Some(rest) = operation.strip_prefix(b"DIRECT.GET.") {
        return super::direct::get(account, call, rest);
    }
    enqueue(account, call, operation)
}

/// What follows `$JS.API.`, or `$JS.<domain>.API.`.
fn operation<'a>(account: &Account, subject: &'a [u8]) -> Option<&'a [u8]> {
    if let Some(operation) = subject.strip_prefix(b"$JS.API.") {
        return Some(operation);
    }
    let hub = account.hub()?;
    let domain = hub.settings.domain.as_ref()?;
    subject.strip_prefix(b"$JS.")?.strip_prefix(domain.as_bytes())?.strip_prefix(b".API.")
}

/// `<stream>.<consumer>.…`, or since nats-server 2.14 `<domain>.<account>.<stream>.<consumer>.…`.
fn acknowledgement(account: &Account, call: &mut Call<'_>, rest: &[u8]) -> Reception {
    let dots = memchr::memchr_iter(b'.', rest).count();
    let rest = if dots >= 8 {
        let mut from = memchr::memchr_iter(b'.', rest);
        from.nth(1).and_then(|dot| rest.get(dot + 1..)).unwrap_or_default()
    } else {
        rest
    };
    of_consumer(account, call, rest, |consumers, name, call| {
        each(call, |call, message| consumers.ack(name, call, message))
    })
}

fn each(
    call: &mut Call<'_>,
    mut take: impl FnMut(&mut Call<'_>, &broker::Message<'_>) -> Reception,
) -> Reception {
    let mut reception = Reception::Absent;
    for message in call.messages() {
        if take(call, &message) == Reception::Taken {
            reception = Reception::Taken;
        }
    }
    reception
}

/// Finds the consumer that `<stream>.<consumer>[.…]` names.
fn of_consumer(
    account: &Account,
    call: &mut Call<'_>,
    rest: &[u8],
    then: impl FnOnce(&Arc<dyn Consumers>, &str, &mut Call<'_>) -> Reception,
) -> Reception {
    let mut tokens = rest.split(|byte| *byte == b'.').map(std::str::from_utf8);
    let (Some(Ok(stream)), Some(Ok(consumer))) = (tokens.next(), tokens.next()) else {
        return Reception::Absent;
    };
    let stream: Option<Arc<Stream>> = account.stream(stream);
    match stream.as_ref().and_then(|stream| stream.consumers()) {
        Some(consumers) => then(consumers, consumer, call),
        None => Reception::Absent,
    }
}

/// Hands requests on to the API's thread.
fn enqueue(account: &Account, call: &mut Call<'_>, operation: &[u8]) -> Reception {
    let Some(hub) = account.hub() else { return Reception::Absent };
    let operation = String::from_utf8_lossy(operation).into_owned();
    let client = client_info(account, call);
    for message in call.messages() {
        let request = Request {
            account: account.name.clone(),
            operation: operation.clone(),
            subject: call.subject().to_vec(),
            reply: message.reply.to_vec(),
            headers: message.headers.to_vec(),
            body: message.payload.to_vec(),
            client: client.clone(),
        };
        if let Err(request) = hub.requests.push(request)
            && !request.reply.is_empty()
        {
            let tokens: Vec<&str> = request.operation.split('.').collect();
            let answer = Answer::of::<()>(super::kind_of(&tokens), Err(STREAM_TOO_MANY_REQUESTS.err()));
            call.answer(&Letter { subject: &request.reply, payload: &answer.body, ..Letter::default() });
        }
    }
    Reception::Taken
}

fn client_info(account: &Account, call: &Call<'_>) -> ClientInfo {
    let origin = call.origin();
    let (lang, ver) = origin.library();
    ClientInfo {
        acc: account.name.to_string(),
        user: origin.identity().to_string(),
        host: origin.address().map(|address| address.ip().to_string()).unwrap_or_default(),
        name: origin.name().unwrap_or_default().to_owned(),
        lang: lang.unwrap_or_default().to_owned(),
        ver: ver.unwrap_or_default().to_owned(),
        id: origin.id(),
    }
}
