//! The ports of `up`: as configured or asked for, and free ones in the place of those that are taken.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use clap::Args;
use daemon::config::Document;
use serde_json::Value;

use super::UpError;
use super::layout::Layout;

/// Ports asked for on the command line.
#[derive(Debug, Clone, Default, Args)]
pub struct Wanted {
    /// Port of the gateway for clients.
    #[arg(long = "port", value_name = "PORT")]
    pub gateway: Option<u16>,
    /// Port of the bus for services.
    #[arg(long = "bus-port", value_name = "PORT")]
    pub bus: Option<u16>,
    /// Port of the bus for the link.
    #[arg(long = "link-port", value_name = "PORT")]
    pub link: Option<u16>,
    /// Port of the gateway for monitoring.
    #[arg(long = "admin-port", value_name = "PORT")]
    pub gateway_admin: Option<u16>,
    /// Port of the bus for monitoring.
    #[arg(long = "bus-admin-port", value_name = "PORT")]
    pub bus_admin: Option<u16>,
}

/// One port: what the configuration says, and what is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice {
    configured: u16,
    used: u16,
}

/// The ports in use.
#[derive(Debug)]
pub(super) struct Ports {
    gateway: Choice,
    bus: Choice,
    link: Choice,
    gateway_admin: Choice,
    bus_admin: Choice,
    remarks: Vec<String>,
}

/// A variable for the environment of a process.
pub(super) type Variable = (&'static str, OsString);

impl Ports {
    /// Decides about each port: the one asked for, which must be free; else the configured one, or a free one.
    pub(super) fn choose(wanted: &Wanted, layout: &Layout) -> Result<Self, UpError> {
        let gateway = read(&layout.gateway_config())?;
        let bus = read(&layout.bus_config())?;
        let number = |document: &Value, pointer: &str, default: u16| {
            document
                .pointer(pointer)
                .and_then(Value::as_u64)
                .and_then(|port| u16::try_from(port).ok())
                .unwrap_or(default)
        };
        let mut chooser = Chooser::default();
        Ok(Self {
            gateway: chooser.choose(
                "the gateway",
                wanted.gateway,
                number(&gateway, "/service/port", 4222),
            )?,
            bus: chooser.choose("the bus", wanted.bus, number(&bus, "/service/port", 10132))?,
            link: chooser.choose("the link", wanted.link, number(&bus, "/leafnodes/port", 7422))?,
            gateway_admin: chooser.choose(
                "the gateway's monitoring",
                wanted.gateway_admin,
                number(&gateway, "/admin/port", 8222),
            )?,
            bus_admin: chooser.choose(
                "the bus's monitoring",
                wanted.bus_admin,
                number(&bus, "/admin/port", 8223),
            )?,
            remarks: chooser.remarks,
        })
    }

    /// What deviates from the configuration, in words.
    pub(super) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    pub(super) fn gateway(&self) -> SocketAddr {
        local(self.gateway.used)
    }

    pub(super) fn bus(&self) -> SocketAddr {
        local(self.bus.used)
    }

    pub(super) fn link(&self) -> SocketAddr {
        local(self.link.used)
    }

    pub(super) fn gateway_admin(&self) -> SocketAddr {
        local(self.gateway_admin.used)
    }

    pub(super) fn bus_admin(&self) -> SocketAddr {
        local(self.bus_admin.used)
    }

    /// Overrides for the gateway's process, where ports deviate from its configuration.
    pub(super) fn of_gateway(&self) -> Vec<Variable> {
        let link = self
            .link
            .moved()
            .map(|port| ("GATEHOUSE_LINK__URLS", OsString::from(format!("[\"tls://{}\"]", local(port)))));
        let ports =
            [("GATEHOUSE_SERVICE__PORT", self.gateway), ("GATEHOUSE_ADMIN__PORT", self.gateway_admin)];
        overrides(&ports).chain(link).collect()
    }

    /// The same for the bus.
    pub(super) fn of_bus(&self) -> Vec<Variable> {
        overrides(&[
            ("GATEHOUSE_SERVICE__PORT", self.bus),
            ("GATEHOUSE_LEAFNODES__PORT", self.link),
            ("GATEHOUSE_ADMIN__PORT", self.bus_admin),
        ])
        .collect()
    }
}

impl Choice {
    fn moved(self) -> Option<u16> {
        (self.used != self.configured).then_some(self.used)
    }
}

fn overrides(ports: &[(&'static str, Choice)]) -> impl Iterator<Item = Variable> {
    let moved = |(name, choice): &(&'static str, Choice)| Some((*name, choice.moved()?.to_string().into()));
    ports.iter().filter_map(moved)
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The configuration as it is written; what is wrong with it, its process says.
fn read(path: &Path) -> Result<Value, UpError> {
    let document = Document::read(path, std::iter::empty()).and_then(|document| document.decode());
    document.map_err(|errors| UpError::Config(errors.to_string()))
}

/// Takes ports, and holds those it found free until all are chosen, so that none is given twice.
#[derive(Default)]
struct Chooser {
    held: Vec<TcpListener>,
    remarks: Vec<String>,
}

impl Chooser {
    fn choose(&mut self, what: &str, wanted: Option<u16>, configured: u16) -> Result<Choice, UpError> {
        let port = wanted.unwrap_or(configured);
        let (held, used) = match TcpListener::bind(local(port)) {
            Ok(held) => {
                let used = held.local_addr()?.port();
                (held, used)
            }
            Err(_) if wanted.is_some() => return Err(UpError::PortTaken(port)),
            Err(_) => {
                let held = TcpListener::bind(local(0))?;
                let used = held.local_addr()?.port();
                self.remarks.push(format!("port {port} is taken: {what} uses {used}"));
                (held, used)
            }
        };
        self.held.push(held);
        Ok(Choice { configured, used })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_replaced_unless_it_was_asked_for() {
        let taken = TcpListener::bind(local(0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let mut chooser = Chooser::default();
        let choice = chooser.choose("the bus", None, port).unwrap();
        assert_ne!(choice.used, port);
        assert_eq!(choice.moved(), Some(choice.used));
        assert_eq!(chooser.remarks, [format!("port {port} is taken: the bus uses {}", choice.used)]);
        assert!(
            matches!(chooser.choose("x", Some(port), 1), Err(UpError::PortTaken(taken)) if taken == port)
        );
    }

    #[test]
    fn no_port_is_given_twice() {
        let mut chooser = Chooser::default();
        let first = chooser.choose("x", Some(0), 1).unwrap();
        let second = chooser.choose("y", None, first.used).unwrap();
        assert_ne!(first.used, second.used);
    }
}
