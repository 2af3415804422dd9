//! Names and infos of all consumers, page by page.

use serde::{Deserialize, Serialize};

use crate::api::Request;
use crate::consumer::info::ConsumerInfo;
use crate::consumers::Roster;
use crate::errors::ApiError;

/// Names on one page.
const NAMES: usize = 1024;
/// Infos on one page.
const INFOS: usize = 256;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Page {
    offset: i64,
}

/// One page, and what there is in all.
#[derive(Serialize)]
pub(super) struct Paged<T> {
    total: usize,
    offset: usize,
    limit: usize,
    consumers: Vec<T>,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { total: 0, offset: 0, limit: 0, consumers: Vec::new() }
    }
}

pub(super) fn names(roster: &Roster, request: &Request) -> Result<Paged<String>, ApiError> {
    let all = roster.public();
    let offset = offset(request)?.min(all.len());
    let consumers = all.iter().skip(offset).take(NAMES).map(|seat| seat.name.to_string()).collect();
    Ok(Paged { total: all.len(), offset, limit: NAMES, consumers })
}

pub(super) fn list(roster: &Roster, request: &Request) -> Result<Paged<ConsumerInfo>, ApiError> {
    let all = roster.public();
    let offset = offset(request)?.min(all.len());
    let consumers = all.iter().skip(offset).take(INFOS).filter_map(|seat| seat.info()).collect();
    Ok(Paged { total: all.len(), offset, limit: INFOS, consumers })
}

/// Where the page begins. Only an object or a list is looked at.
fn offset(request: &Request) -> Result<usize, ApiError> {
    let body = request.body.trim_ascii();
    if !matches!(body.first(), Some(b'{' | b'[')) {
        return Ok(0);
    }
    let page: Page = crate::api::read(body, false)?;
    Ok(usize::try_from(page.offset).unwrap_or(0))
}
