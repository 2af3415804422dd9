//! A wire whose packets can be dropped: between two network namespaces where they can be made, else a proxy that holds
//! every byte back. Neither end is told anything.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, ensure};

use crate::proxy::Proxy;

/// Apart from those of other processes, and of other cables of this one.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A namespace with two wires to here: one that can be cut, and one that stays for who watches.
#[derive(Debug)]
struct Namespace {
    name: String,
    /// Third byte of the addresses, 10.213.N.
    net: u8,
}

impl Namespace {
    fn make() -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // An address somebody can listen on is in use by another cable.
        let start = u8::try_from((std::process::id() + u32::from(number) * 7) % 251)?;
        let used = |net: &u8| TcpListener::bind(SocketAddr::from(([10, 213, *net, 1], 0))).is_ok();
        let net = (start..=250).chain(0..start).find(|net| !used(net)).context("no network is free")?;
        let made = Self { name: format!("gh{}{number}", std::process::id()), net };
        ip(&["netns", "add", &made.name])?;
        for (wire, host) in [("c", 0), ("w", 4)] {
            let (here, there) = (format!("{}{wire}0", made.name), format!("{}{wire}1", made.name));
            let address = |at: u8| format!("10.213.{}.{}/30", made.net, host + at);
            ip(&["link", "add", &here, "type", "veth", "peer", "name", &there, "netns", &made.name])?;
            ip(&["addr", "add", &address(1), "dev", &here])?;
            ip(&["link", "set", &here, "up"])?;
            ip(&["-n", &made.name, "addr", "add", &address(2), "dev", &there])?;
            ip(&["-n", &made.name, "link", "set", &there, "up"])?;
        }
        ip(&["-n", &made.name, "link", "set", "lo", "up"])?;
        // Whether packets can be dropped here is known now, not in the middle of a test.
        made.dropping(true)?;
        made.dropping(false)?;
        Ok(made)
    }

    /// A queue with no room drops every packet; both ends of the wire get one.
    fn dropping(&self, dropping: bool) -> Result<()> {
        let (here, there) = (format!("{}c0", self.name), format!("{}c1", self.name));
        let queue: &[&str] = if dropping {
            &["replace", "root", "pfifo", "limit", "0"]
        } else {
            &["replace", "root", "pfifo", "limit", "1000"]
        };
        let [verb, rest @ ..] = queue else { return Ok(()) };
        let command = |device: &str| -> Vec<String> {
            let words = ["qdisc", verb, "dev", device].into_iter().chain(rest.iter().copied());
            words.map(str::to_owned).collect()
        };
        run("tc", &command(&here))?;
        let inside = ["netns", "exec", &self.name, "tc"].map(str::to_owned);
        run("ip", &inside.into_iter().chain(command(&there)).collect::<Vec<_>>())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its ends of the wires go with it, and so do the ends here.
        drop(ip(&["netns", "del", &self.name]));
    }
}

fn ip(words: &[&str]) -> Result<()> {
    run("ip", &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
}

fn run(program: &str, words: &[String]) -> Result<()> {
    let output = Command::new(program).args(words).output()?;
    ensure!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A wire from a process to a target, which drops packets when it is told to.
#[derive(Debug)]
pub struct Cable {
    /// How it is made.
    kind: CableKind,
}

#[derive(Debug)]
enum CableKind {
    Packets(Namespace),
    Bytes(Proxy),
}

impl Cable {
    /// A wire to `target`, which has to listen on every address of this machine.
    ///
    /// # Errors
    /// When there is neither a namespace nor a free port.
    pub async fn to(target: SocketAddr) -> Result<Self> {
        match Namespace::make() {
            Ok(namespace) => Ok(Self { kind: CableKind::Packets(namespace) }),
            Err(error) => {
                eprintln!("no network namespaces here, bytes are held back instead: {error:#}");
                Ok(Self { kind: CableKind::Bytes(Proxy::to(target).await?) })
            }
        }
    }

    /// Where the process finds the target.
    pub fn target(&self, target: SocketAddr) -> SocketAddr {
        match &self.kind {
            CableKind::Packets(namespace) => ([10, 213, namespace.net, 1], target.port()).into(),
            CableKind::Bytes(proxy) => proxy.address(),
        }
    }

    /// Where the process is found from here, if it listens on `address`.
    pub fn found(&self, address: SocketAddr) -> SocketAddr {
        match &self.kind {
            CableKind::Packets(namespace) => ([10, 213, namespace.net, 6], address.port()).into(),
            CableKind::Bytes(_) => ([127, 0, 0, 1], address.port()).into(),
        }
    }

    /// What starts the process at its end of the wire: program and arguments before its own.
    pub fn launcher(&self, program: impl Into<OsString>) -> Vec<OsString> {
        match &self.kind {
            CableKind::Packets(namespace) => {
                let words = ["ip", "netns", "exec", &namespace.name].map(OsString::from);
                words.into_iter().chain([program.into()]).collect()
            }
            CableKind::Bytes(_) => vec![program.into()],
        }
    }

    /// Drops everything from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn part(&self) -> Result<()> {
        match &self.kind {
            CableKind::Packets(namespace) => namespace.dropping(true),
            CableKind::Bytes(proxy) => {
                proxy.silence();
                Ok(())
            }
        }
    }

    /// Passes everything again.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn mend(&self) -> Result<()> {
        match &self.kind {
            CableKind::Packets(namespace) => namespace.dropping(false),
            CableKind::Bytes(proxy) => {
                proxy.restore();
                Ok(())
            }
        }
    }

    /// Whether it is packets that are dropped.
    pub fn drops_packets(&self) -> bool {
        matches!(self.kind, CableKind::Packets(_))
    }
}
