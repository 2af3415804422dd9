//! How, from where and when a user may come in: what its JWT says besides its rights (nats-io/jwt, `UserLimits` and
//! `allowed_connection_types`). What can't be understood lets nobody in.

use broker::{Denied, Login, Network};
use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use serde::Deserialize;

/// The bounds of one JWT, or of the template of a scoped key. Empty ones bound nothing.
#[derive(Deserialize, Default, Clone)]
#[serde(default)]
pub(super) struct AdmissionClaims {
    /// `STANDARD`, `WEBSOCKET` and so on; in any case, kinds that are not known admit nobody.
    allowed_connection_types: Option<Vec<String>>,
    src: Option<Sources>,
    times: Option<Vec<TimeRange>>,
    /// Zone of the times, such as `Europe/Berlin`; UTC without.
    times_location: Option<String>,
}

/// Networks: a list, or one text with commas as version 1 has it.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Sources {
    Text(String),
    List(Vec<String>),
}

/// A part of each day, `15:04:05` to `17:04:05`; one that ends earlier than it begins ends on the next day.
#[derive(Deserialize, Clone)]
struct TimeRange {
    start: String,
    end: String,
}

impl AdmissionClaims {
    /// Lets a login in, or says why not; and until when, in seconds since the Unix epoch, if there is an end.
    pub(super) fn admit(&self, login: &Login<'_>, now: Timestamp) -> Result<Option<u64>, Denied> {
        self.connection_type(login)?;
        self.source(login)?;
        self.time(now)
    }

    fn connection_type(&self, login: &Login<'_>) -> Result<(), Denied> {
        let Some(types) = self.allowed_connection_types.as_deref().filter(|types| !types.is_empty()) else {
            return Ok(());
        };
        let own = if login.websocket { "WEBSOCKET" } else { "STANDARD" };
        if types.iter().any(|kind| kind.eq_ignore_ascii_case(own)) {
            return Ok(());
        }
        Err(Denied::new("connection_type", "the user may not come in by this kind of connection"))
    }

    fn source(&self, login: &Login<'_>) -> Result<(), Denied> {
        let networks: Vec<&str> = match &self.src {
            None => return Ok(()),
            Some(Sources::Text(text)) => text.split(',').filter(|part| !part.is_empty()).collect(),
            Some(Sources::List(list)) => list.iter().map(String::as_str).collect(),
        };
        let networks: Result<Vec<Network>, _> =
            networks.iter().map(|network| network.trim().parse()).collect();
        let networks = networks
            .map_err(|error| Denied::new("source", format!("the networks of the user JWT: {error}")))?;
        if networks.is_empty() || networks.iter().any(|network| network.contains(login.address.ip())) {
            return Ok(());
        }
        Err(Denied::new("source", "the user may not come in from this address"))
    }

    fn time(&self, now: Timestamp) -> Result<Option<u64>, Denied> {
        let Some(times) = self.times.as_deref().filter(|times| !times.is_empty()) else { return Ok(None) };
        let unknown = |what: &str| Denied::new("times", format!("the times of the user JWT: {what}"));
        let zone = match self.times_location.as_deref().unwrap_or_default() {
            "" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| unknown("the zone is not known"))?,
        };
        let here = now.to_zoned_datetime(zone.clone()).datetime();
        for range in times {
            let time = |text: &str| Time::strptime("%H:%M:%S", text).map_err(|_| unknown("not HH:MM:SS"));
            let (start, end) = (time(&range.start)?, time(&range.end)?);
            if let Some(end) = end_of(start, end, here) {
                let end = end.to_zoned_datetime(zone).map_err(|_| unknown("no such time"))?;
                return Ok(u64::try_from(end.timestamp().as_second()).ok());
            }
        }
        Err(Denied::new("times", "the user may not come in at this time"))
    }
}

/// When the range ends that holds at `now`, which may have begun the day before.
fn end_of(start: Time, end: Time, now: DateTime) -> Option<DateTime> {
    let today = now.date();
    [today.yesterday().ok()?, today].into_iter().find_map(|day| {
        let last = if start > end { day.tomorrow().ok()? } else { day };
        let (begins, ends) = (day.to_datetime(start), last.to_datetime(end));
        (begins <= now && now < ends).then_some(ends)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wire::info::ConnectOptions;

    use super::*;

    fn admit(claims: Value, from: [u8; 4], websocket: bool, at: &str) -> Result<Option<u64>, &'static str> {
        let options = ConnectOptions::default();
        let login = Login {
            credentials: broker::Credentials::Client(&options),
            certificates: &[],
            address: (from, 1).into(),
            websocket,
            nonce: "",
            until: std::time::Instant::now(),
        };
        let claims: AdmissionClaims = serde_json::from_value(claims).unwrap();
        claims.admit(&login, at.parse().unwrap()).map_err(|denied| denied.reason)
    }

    #[test]
    fn by_kind_of_connection() {
        for (types, plain, websocket) in [
            (json!([]), true, true),
            (json!(null), true, true),
            (json!(["STANDARD"]), true, false),
            (json!(["standard", "Websocket"]), true, true),
            (json!(["WEBSOCKET", "MQTT"]), false, true),
            (json!(["LEAFNODE"]), false, false),
            (json!(["something"]), false, false),
        ] {
            for (is_websocket, expected) in [(false, plain), (true, websocket)] {
                let claims = json!({ "allowed_connection_types": types });
                let found = admit(claims, [127, 0, 0, 1], is_websocket, "2026-01-01T00:00:00Z");
                assert_eq!(found, if expected { Ok(None) } else { Err("connection_type") }, "{types}");
            }
        }
    }

    #[test]
    fn by_address() {
        for (src, from, expected) in [
            (json!([]), [8, 8, 8, 8], true),
            (json!(""), [8, 8, 8, 8], true),
            (json!(["10.0.0.0/8", "192.168.1.0/24"]), [192, 168, 1, 7], true),
            (json!("10.0.0.0/8,192.168.1.0/24"), [192, 168, 1, 7], true),
            (json!(["10.0.0.0/8"]), [11, 0, 0, 1], false),
            (json!(["nonsense"]), [11, 0, 0, 1], false),
            (json!(["10.0.0.0/8", "nonsense"]), [10, 0, 0, 1], false),
        ] {
            let found = admit(json!({ "src": src }), from, false, "2026-01-01T00:00:00Z");
            assert_eq!(found, if expected { Ok(None) } else { Err("source") }, "{src}");
        }
    }

    #[test]
    fn by_time_of_day_where_the_zone_is() {
        let second = |text: &str| u64::try_from(text.parse::<Timestamp>().unwrap().as_second()).unwrap();
        let day = json!({"times": [{"start": "08:00:00", "end": "17:00:00"}]});
        let night = json!({"times": [{"start": "22:00:00", "end": "06:00:00"}]});
        let berlin =
            json!({"times": [{"start": "08:00:00", "end": "17:00:00"}], "times_location": "Europe/Berlin"});
        for (claims, at, ends) in [
            (&day, "2026-01-01T08:00:00Z", Some("2026-01-01T17:00:00Z")),
            (&day, "2026-01-01T07:59:59Z", None),
            (&day, "2026-01-01T17:00:00Z", None),
            (&night, "2026-01-01T23:00:00Z", Some("2026-01-02T06:00:00Z")),
            (&night, "2026-01-01T01:00:00Z", Some("2026-01-01T06:00:00Z")),
            (&night, "2026-01-01T12:00:00Z", None),
            (&berlin, "2026-07-01T06:00:00Z", Some("2026-07-01T15:00:00Z")),
            (&berlin, "2026-07-01T15:30:00Z", None),
        ] {
            let found = admit(claims.clone(), [127, 0, 0, 1], false, at);
            assert_eq!(found, ends.map(|ends| Some(second(ends))).ok_or("times"), "{claims} {at}");
        }
        for bad in [
            json!({"times": [{"start": "8", "end": "17:00:00"}]}),
            json!({"times": [{"start": "00:00:00", "end": "23:59:59"}], "times_location": "Nowhere"}),
        ] {
            assert_eq!(admit(bad, [127, 0, 0, 1], false, "2026-01-01T12:00:00Z"), Err("times"));
        }
    }
}
