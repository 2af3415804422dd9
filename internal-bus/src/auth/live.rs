//! Users that change while the server runs: a reload decides about new logins and about everybody who is in.

use std::sync::Arc;

use arc_swap::ArcSwap;
use broker::{Authenticator, Decision, Login, Server};

use super::Users;

/// The users in force.
pub struct LiveUsers(ArcSwap<Users>);

impl LiveUsers {
    /// Begins with these.
    #[must_use]
    pub fn new(users: Users) -> Self {
        Self(ArcSwap::from_pointee(users))
    }

    /// Puts others in their place. Who is gone, moved to another account, or proves himself otherwise now is
    /// disconnected; the rest have their new rights at once.
    pub fn replace(&self, users: Users, server: &Server) {
        let users = Arc::new(users);
        let before = self.0.swap(users.clone());
        server.reconsider(|grant| users.after(&before, grant));
    }
}

impl Authenticator for LiveUsers {
    fn required(&self) -> bool {
        self.0.load().required()
    }

    fn authenticate<'a>(&'a self, login: Login<'a>) -> Decision<'a> {
        let users = self.0.load_full();
        Box::pin(async move { users.authenticate(login).await })
    }
}
