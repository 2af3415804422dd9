//! Revocations in the admin API.

use std::sync::Arc;

use daemon::admin::{AdminRoutes, ApiError, ApiRequest, Method};
use identity::revocation::{Entry, Request, RevocationError};
use serde_json::{Value, json};

use super::{ChangeError, Plane};

/// Entries answered with at a time unless asked otherwise, and at most.
const PAGE: usize = 1_000;
const MAX_PAGE: usize = 10_000;

impl Plane {
    /// Mounts `/api/v1/revocations`.
    #[must_use]
    pub fn routes(self: &Arc<Self>, routes: AdminRoutes) -> AdminRoutes {
        let (list, add, lift) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        routes
            .api(Method::Get, "/api/v1/revocations", move |request| Ok(list.page(request)))
            .api(Method::Post, "/api/v1/revocations", move |request| add.add(request))
            .api(Method::Delete, "/api/v1/revocations/{tail}", move |request| {
                lift.lift(&request.tail, &request.actor).map(|entry| document(&entry)).map_err(|e| told(&e))
            })
    }

    fn page(&self, request: &ApiRequest) -> Value {
        let entries = self.list();
        let offset = request.query.number("offset").unwrap_or(0);
        let limit = request.query.number("limit").unwrap_or(PAGE).min(MAX_PAGE);
        let shown: Vec<Value> =
            entries.iter().skip(offset).take(limit).map(|entry| document(entry)).collect();
        json!({
            "revocations": shown,
            "offset": offset,
            "total": entries.len(),
            "max_entries": self.entries().max(),
        })
    }

    fn add(&self, request: &ApiRequest) -> Result<Value, ApiError> {
        let wanted: Request = request.read()?;
        let revoked = self.revoke(&wanted, &request.actor).map_err(|error| told(&error))?;
        let mut answer = document(&revoked.entry);
        answer["durable"] = revoked.not_durable.is_none().into();
        if let Some(problem) = revoked.not_durable {
            answer["warning"] = format!("in force now, but not after a restart: {problem}").into();
        }
        Ok(answer)
    }
}

fn document(entry: &Entry) -> Value {
    serde_json::to_value(entry).unwrap_or_default()
}

fn told(error: &ChangeError) -> ApiError {
    let status = match error {
        ChangeError::Request(_) | ChangeError::Refused(RevocationError::Entry(_)) => 400,
        ChangeError::Refused(RevocationError::Unknown(_)) => 404,
        ChangeError::Refused(RevocationError::OtherEntry(_)) | ChangeError::InFile(_) => 409,
        ChangeError::Refused(RevocationError::Full(_)) | ChangeError::Disk(_) => 507,
    };
    ApiError::new(status, error.to_string())
}
