//! Options come before what the configuration file says.

use super::Flags;
use crate::natsconf::{CertificatePair, NatsConf, Tls};

impl Flags {
    /// Puts the options into a configuration. A setting whose option was not given stays.
    ///
    /// Users listed in the configuration win over `--user`, `--pass` and `--auth`, as in nats-server.
    pub fn apply_to(&self, conf: &mut NatsConf) {
        put(&mut conf.host, &self.host);
        put(&mut conf.port, &self.port);
        put(&mut conf.client_advertise, &self.client_advertise);
        put(&mut conf.server_name, &self.server_name);
        put(&mut conf.http_port, &self.http_port);
        put(&mut conf.debug, &self.debug);
        put(&mut conf.trace, &self.trace);
        put(&mut conf.trace_verbose, &self.trace_verbose);
        put(&mut conf.logtime, &self.logtime);
        put(&mut conf.logtime_utc, &self.logtime_utc);
        put(&mut conf.log_file, &self.log_file);
        put(&mut conf.log_size_limit, &self.log_size_limit);
        put(&mut conf.max_traced_msg_len, &self.max_traced_msg_len);
        put(&mut conf.pid_file, &self.pid_file);
        put(&mut conf.ports_file_dir, &self.ports_file_dir);
        self.apply_login(conf);
        self.apply_tls(conf);
        self.apply_jetstream(conf);
    }

    fn apply_login(&self, conf: &mut NatsConf) {
        if self.user.is_none() && self.password.is_none() && self.token.is_none() {
            return;
        }
        let listed = conf.authorization.iter().flat_map(|auth| &auth.users);
        if listed.chain(conf.accounts.iter().flat_map(|account| &account.users)).next().is_some() {
            return;
        }
        let auth = conf.authorization.get_or_insert_default();
        // A login of the other kind is replaced, not joined.
        if self.token.is_some() {
            (auth.user, auth.password) = (None, None);
        } else {
            auth.token = None;
        }
        put(&mut auth.user, &self.user);
        put(&mut auth.password, &self.password);
        put(&mut auth.token, &self.token);
    }

    fn apply_tls(&self, conf: &mut NatsConf) {
        if self.tls.enabled == Some(false) {
            conf.tls = None;
        }
        let (Some(cert_file), Some(key_file), true) =
            (&self.tls.cert_file, &self.tls.key_file, self.tls.wanted())
        else {
            return;
        };
        let pair = CertificatePair { cert_file: cert_file.clone(), key_file: key_file.clone() };
        conf.tls = Some(Tls {
            certificates: vec![pair],
            ca_file: self.tls.ca_file.clone(),
            verify: self.tls.verify.unwrap_or_default(),
            ..Tls::default()
        });
    }

    fn apply_jetstream(&self, conf: &mut NatsConf) {
        if self.jetstream.is_none() && self.store_dir.is_none() {
            return;
        }
        let jetstream = conf.jetstream.get_or_insert_default();
        jetstream.enabled = self.jetstream.unwrap_or(jetstream.enabled);
        put(&mut jetstream.store_dir, &self.store_dir);
    }
}

fn put<T: Clone>(target: &mut Option<T>, given: &Option<T>) {
    if given.is_some() {
        target.clone_from(given);
    }
}
