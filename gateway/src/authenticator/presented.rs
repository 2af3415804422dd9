//! Where in CONNECT a client may put its token.

use wire::info::ConnectOptions;

/// The token, in order of preference: `auth_token`; the user, when there is no password (as from a URL
/// `tls://TOKEN@host`); `jwt`; the password (whatever the user, commonly `token`).
pub(super) fn token(options: &ConnectOptions) -> Option<&str> {
    let user = options.user.as_deref().filter(|_| options.pass.is_none());
    let places = [options.auth_token.as_deref(), user, options.jwt.as_deref(), options.pass.as_deref()];
    places.into_iter().flatten().find(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order() {
        let all = ConnectOptions {
            auth_token: Some("auth".into()),
            user: Some("user".into()),
            jwt: Some("jwt".into()),
            ..ConnectOptions::default()
        };
        assert_eq!(token(&all), Some("auth"));
        let all = ConnectOptions { auth_token: None, ..all };
        assert_eq!(token(&all), Some("user"));
        let with_password = ConnectOptions { pass: Some("pass".into()), ..all };
        assert_eq!(token(&with_password), Some("jwt"));
        let password = ConnectOptions { jwt: None, ..with_password };
        assert_eq!(token(&password), Some("pass"));
        assert_eq!(token(&ConnectOptions::default()), None);
    }
}
