//! What SIGHUP changes besides certificates: the users of a nats-server configuration and their rights.

use broker::Server;

use crate::auth::{LiveUsers, Users};
use crate::flags::Flags;
use crate::natsconf::NatsConf;
use crate::run::nats_conf;

/// Reads the configuration anew and puts its users in force; what is wrong with it leaves those of before.
pub(super) fn users(flags: &Flags, users: &LiveUsers, server: &Server, before: &NatsConf) {
    let read = nats_conf(flags).and_then(|(conf, _)| {
        let made = Users::new(&conf).map_err(|error| error.to_string())?;
        Ok((conf, made))
    });
    match read {
        Ok((conf, made)) => {
            users.replace(made, server);
            tracing::info!("Reloaded: authorization users");
            if without_users(conf) != without_users(before.clone()) {
                tracing::warn!(
                    "other settings have changed too: they take effect when the server starts again"
                );
            }
        }
        Err(error) => tracing::error!("the configuration can't be reloaded, nothing has changed: {error}"),
    }
}

/// Everything that a reload does not change.
fn without_users(mut conf: NatsConf) -> NatsConf {
    conf.authorization = None;
    conf.no_auth_user = None;
    for account in &mut conf.accounts {
        account.users.clear();
        account.default_permissions = None;
        account.at = crate::natsconf::Position::default();
        account.exports.iter_mut().for_each(|export| export.at = crate::natsconf::Position::default());
        account.imports.iter_mut().for_each(|import| import.at = crate::natsconf::Position::default());
    }
    conf
}
