//! What a stream's acknowledgement says, and how our own is written.

use serde::Deserialize;

use super::forward::Answer;

/// What a stream answers a publisher with (ADR-1, PubAck).
#[derive(Deserialize)]
struct PubAck {
    #[serde(default)]
    error: Option<PubError>,
}

#[derive(Deserialize)]
struct PubError {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    description: String,
}

/// Reads an answer. Who answers with something that is no PubAck has the message, too.
pub(super) fn read(headers: &[u8], payload: &[u8]) -> Answer {
    let status = wire::headers::parse(headers).ok().and_then(|headers| headers.status());
    if let Some(status) = status {
        return Answer::NotNow(format!("status {status}"));
    }
    let Some(error) = serde_json::from_slice::<PubAck>(payload).ok().and_then(|ack| ack.error) else {
        return Answer::Stored;
    };
    let why = format!("{} (code {})", error.description, error.code);
    // 4xx: it is the message's fault and stays so.
    if (400..500).contains(&error.code) { Answer::Never(why) } else { Answer::NotNow(why) }
}

/// Our acknowledgement: the name of this buffer in the place of a stream's.
pub(super) fn acknowledgement(seq: u64, duplicate: bool) -> Vec<u8> {
    let duplicate = if duplicate { ",\"duplicate\":true" } else { "" };
    format!("{{\"stream\":\"{}\",\"seq\":{seq}{duplicate}}}", super::BUFFER).into_bytes()
}

/// A refusal that publishers to streams understand: try again later.
pub(super) fn refusal(why: &str) -> Vec<u8> {
    serde_json::json!({ "stream": super::BUFFER, "seq": 0, "error": { "code": 503, "err_code": 10008, "description": why } })
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading() {
        assert_eq!(read(b"", br#"{"stream":"ORDERS","seq":7}"#), Answer::Stored);
        assert_eq!(read(b"", b"+OK"), Answer::Stored);
        assert_eq!(read(b"", b""), Answer::Stored);
        assert!(matches!(read(b"NATS/1.0 503\r\n\r\n", b""), Answer::NotNow(_)));
        let full =
            br#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"seq":0}"#;
        assert!(matches!(read(b"", full), Answer::NotNow(_)));
        let large = br#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#;
        assert_eq!(read(b"", large), Answer::Never("message size exceeds maximum allowed (code 400)".into()));
    }

    #[test]
    fn writing() {
        assert_eq!(acknowledgement(7, false), br#"{"stream":"gatehouse-edge","seq":7}"#);
        assert_eq!(acknowledgement(7, true), br#"{"stream":"gatehouse-edge","seq":7,"duplicate":true}"#);
        let refusal: serde_json::Value = serde_json::from_slice(&refusal("full")).unwrap();
        assert_eq!(refusal["error"]["code"], 503);
    }
}
