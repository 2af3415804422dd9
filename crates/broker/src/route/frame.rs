//! Messages as a link carries them: under the other side's name for the subject, with the reply it may know of.

use std::borrow::Cow;
use std::ops::Range;

use super::{Item, Items, LinkTarget, Route};
use crate::conn::Conn;
use crate::provenance;

/// Where a message goes over a link.
struct Way<'a> {
    conn: &'a Conn,
    /// For a gateway: `account `.
    account: &'a [u8],
    subject: &'a [u8],
    queues: &'a [u8],
    /// Header lines that say who published it.
    stamp: &'a [u8],
}

/// Encodes messages for a link that gets all of them. Those with nothing that the other side must be told otherwise
/// share their first words, and are copied from there on.
pub(super) fn all_for_link(
    out: &mut Vec<u8>,
    origin: &Conn,
    route: &Route,
    link: &LinkTarget,
    items: &Items<'_>,
) {
    let queues = route.text(&link.queues);
    let (account, subject) = (route.text(&link.account), route.text(&link.subject));
    let words = account.len() + subject.len() + b"LMSG  ".len();
    out.reserve(items.tail_bytes() + words * items.list.len());
    let mut head = None;
    for item in items.list {
        let as_it_is = item.reply_len == 0 && item.front == 0 && item.shown_len == 0 && !item.has_headers;
        if !(as_it_is && queues.is_empty() && link.stamp.is_empty()) {
            for_link(out, origin, route, link, queues, items, item);
            continue;
        }
        match &head {
            Some(head) => out.extend_from_within(Range::clone(head)),
            None => {
                let at = out.len();
                out.extend_from_slice(if account.is_empty() { b"LMSG " } else { b"RMSG " });
                out.extend_from_slice(account);
                out.extend_from_slice(subject);
                out.push(b' ');
                head = Some(at..out.len());
            }
        }
        out.extend_from_slice(items.tail(item));
    }
}

/// Encodes one message for a link target.
pub(super) fn for_link(
    out: &mut Vec<u8>,
    origin: &Conn,
    route: &Route,
    link: &LinkTarget,
    queues: &[u8],
    items: &Items<'_>,
    item: &Item,
) {
    let stamp = route.text(&link.stamp);
    // With more headers it could be larger than the other side takes, and it would end the link for that.
    let fits = || item.payload_len as usize + provenance::weight(stamp) <= link.conn.account.max_payload();
    let way = Way {
        conn: &link.conn,
        account: route.text(&link.account),
        subject: route.text(&link.subject),
        queues,
        stamp: if stamp.is_empty() || !fits() { b"" } else { stamp },
    };
    put(out, origin, &way, items, item);
}

/// Encodes an answer for the link its request came over.
pub(crate) fn answer(
    out: &mut Vec<u8>,
    origin: &Conn,
    link: &Conn,
    subject: &[u8],
    items: &Items<'_>,
    item: &Item,
) {
    let gateway = link.link().is_some_and(|link| link.is_gateway());
    let account = if gateway { [origin.account.name.as_bytes(), b" "].concat() } else { Vec::new() };
    let way = Way { conn: link, account: &account, subject, queues: b"", stamp: b"" };
    put(out, origin, &way, items, item);
}

fn put(out: &mut Vec<u8>, origin: &Conn, way: &Way<'_>, items: &Items<'_>, item: &Item) {
    out.extend_from_slice(match (item.has_headers || !way.stamp.is_empty(), way.account.is_empty()) {
        (true, _) => b"HMSG ",
        (false, true) => b"LMSG ",
        (false, false) => b"RMSG ",
    });
    out.extend_from_slice(way.account);
    out.extend_from_slice(way.subject);
    out.push(b' ');
    let tail = items.tail(item);
    let (reply, rest) = tail.split_at(item.reply_len as usize);
    let crossing = match way.conn.link() {
        Some(link) if item.front == 0 => link.reply_across(reply, &origin.account),
        Some(link) if link.is_filtered() => Cow::Borrowed(&b""[..]),
        _ => Cow::Borrowed(items.whole_reply(item)),
    };
    let crossing = match items.shown(item) {
        // The other end takes it apart again: see `wire::leaf::split_shown`.
        Some(shown) if !crossing.is_empty() => Cow::Owned([&crossing, &b"@"[..], shown].concat()),
        _ => crossing,
    };
    if way.queues.is_empty() {
        if way.stamp.is_empty() && matches!(crossing, Cow::Borrowed(same) if same.len() == reply.len()) {
            out.extend_from_slice(tail);
            return;
        }
        if !crossing.is_empty() {
            out.extend_from_slice(&crossing);
            out.push(b' ');
        }
    } else {
        if crossing.is_empty() {
            out.extend_from_slice(b"| ");
        } else {
            out.extend_from_slice(b"+ ");
            out.extend_from_slice(&crossing);
            out.push(b' ');
        }
        out.extend_from_slice(way.queues);
        out.push(b' ');
    }
    if way.stamp.is_empty() {
        out.extend_from_slice(rest.strip_prefix(b" ").unwrap_or(rest));
    } else {
        let header_len = item.has_headers.then_some(item.header_len as usize);
        provenance::put_stamped(out, way.stamp, items.payload(item), header_len);
    }
}
