//! Messages as a link carries them: under the other side's name for the subject, with the reply it may know of.

use std::borrow::Cow;

use super::{Item, Items, LinkTarget, Route};
use crate::conn::Conn;
use crate::provenance;

/// Encodes one message for a link target.
pub(super) fn for_link(
    out: &mut Vec<u8>,
    route: &Route,
    link: &LinkTarget,
    queues: &[u8],
    items: &Items<'_>,
    item: &Item,
) {
    let stamp = route.text(&link.stamp);
    // With more headers it could be larger than the other side takes, and it would end the link for that.
    let fits = || item.payload_len as usize + provenance::weight(stamp) <= link.conn.account.max_payload();
    let stamp = if stamp.is_empty() || !fits() { b"" } else { stamp };
    put(out, &link.conn, route.text(&link.subject), queues, items, item, stamp);
}

/// Encodes an answer for the link its request came over.
pub(crate) fn answer(out: &mut Vec<u8>, link: &Conn, subject: &[u8], items: &Items<'_>, item: &Item) {
    put(out, link, subject, b"", items, item, b"");
}

fn put(
    out: &mut Vec<u8>,
    conn: &Conn,
    subject: &[u8],
    queues: &[u8],
    items: &Items<'_>,
    item: &Item,
    stamp: &[u8],
) {
    out.extend_from_slice(if item.has_headers || !stamp.is_empty() { b"HMSG " } else { b"LMSG " });
    out.extend_from_slice(subject);
    out.push(b' ');
    let tail = items.tail(item);
    let (reply, rest) = tail.split_at(item.reply_len as usize);
    let crossing = match conn.link() {
        Some(link) => link.reply_across(reply),
        None => Cow::Borrowed(reply),
    };
    let crossing = match items.shown(item) {
        // The other end takes it apart again: see `wire::leaf::split_shown`.
        Some(shown) if !crossing.is_empty() => Cow::Owned([&crossing, &b"@"[..], shown].concat()),
        _ => crossing,
    };
    if queues.is_empty() {
        if stamp.is_empty() && matches!(crossing, Cow::Borrowed(same) if same.len() == reply.len()) {
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
        out.extend_from_slice(queues);
        out.push(b' ');
    }
    if stamp.is_empty() {
        out.extend_from_slice(rest.strip_prefix(b" ").unwrap_or(rest));
    } else {
        let header_len = item.has_headers.then_some(item.header_len as usize);
        provenance::put_stamped(out, stamp, items.payload(item), header_len);
    }
}
