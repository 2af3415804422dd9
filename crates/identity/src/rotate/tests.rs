//! Rotation under living connections.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use certs_dev::{Authority, LeafRequest};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;

use super::*;
use crate::peer::PeerCertificate;
use crate::tls::testing::{Connected, Site, handshake, talk};
use crate::tls::{ClientAuth, ServerTls};

fn shown_serial(connected: &Connected) -> String {
    PeerCertificate::from_der(&connected.get_ref().1.peer_certificates().unwrap()[0]).unwrap().serial
}

async fn connect(site: &Site, server: Arc<ServerConfig>) -> (crate::tls::testing::Accepted, Connected) {
    let client = site.client(Some(site.pair("billing"))).build().unwrap();
    let (accepted, connected) = handshake(server, client, "bus").await;
    (accepted.unwrap(), connected.unwrap())
}

/// A server whose files are watched.
struct Watched {
    rotating: Arc<Rotating<ServerTls>>,
    events: mpsc::UnboundedReceiver<Outcome>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Watched {
    fn start(server: ServerTls) -> Self {
        let rotating = Arc::new(Rotating::new(server).unwrap());
        let (report, events) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let options =
            WatchOptions { interval: Duration::from_millis(10), settle: Duration::from_millis(200) };
        let shutdown = async { drop(stopped.await) };
        let task = tokio::spawn(watch_files(Arc::clone(&rotating), options, shutdown, move |outcome| {
            drop(report.send(outcome));
        }));
        Self { rotating, events, stop, task }
    }

    async fn event(&mut self) -> Outcome {
        timeout(Duration::from_secs(20), self.events.recv()).await.expect("an event").expect("a live task")
    }

    /// Waits for a reload. A writer that is held up between the two files of a pair may cause a refusal first.
    async fn reloaded(&mut self) {
        while self.event().await != Outcome::Reloaded {}
    }

    async fn finish(mut self) {
        self.stop.send(()).unwrap();
        timeout(Duration::from_secs(20), self.task).await.expect("the task ends").unwrap();
        while let Some(event) = self.events.recv().await {
            // A look between the two files of a pair can make two reloads of one change.
            assert_eq!(event, Outcome::Reloaded);
        }
    }
}

#[tokio::test]
async fn new_handshakes_see_the_new_certificate_and_old_connections_live_on() {
    let site = Site::new();
    let mut watched = Watched::start(site.server());
    let (mut accepted, mut connected) = connect(&site, watched.rotating.current().config.clone()).await;
    let before = shown_serial(&connected);

    site.issue("bus", &LeafRequest::server("bus"));
    watched.reloaded().await;
    let (_accepted, second) = connect(&site, watched.rotating.current().config.clone()).await;
    assert_ne!(shown_serial(&second), before);
    talk(&mut accepted, &mut connected).await.unwrap();
    watched.finish().await;
}

#[tokio::test]
async fn a_bad_pair_is_refused_once_and_the_old_one_kept() {
    let site = Site::new();
    let mut watched = Watched::start(site.server());
    let before = watched.rotating.current();
    fs::copy(site.path("billing.key"), site.path("bus.key")).unwrap();
    let Outcome::Refused(why) = watched.event().await else { panic!("expected a refusal") };
    assert!(why.contains("is not the key of the first certificate"), "{why}");
    assert!(Arc::ptr_eq(&before, &watched.rotating.current()));
    connect(&site, before.config.clone()).await;
    assert!(watched.rotating.reload().is_err());
    assert!(Arc::ptr_eq(&before, &watched.rotating.current()));

    site.issue("bus", &LeafRequest::server("bus"));
    watched.reloaded().await;
    assert!(!Arc::ptr_eq(&before, &watched.rotating.current()));
    watched.finish().await;
}

#[tokio::test]
async fn a_pair_caught_half_replaced_is_no_refusal() {
    let site = Site::new();
    let rotating = Arc::new(Rotating::new(site.server()).unwrap());
    let issued = site.ca.issue(&LeafRequest::server("bus")).unwrap();
    fs::write(site.path("bus.key"), &issued.key_pem).unwrap();
    let mut waits = 0;
    // The other half comes while the watcher waits for it.
    let outcome = watch::settled(&rotating, || {
        waits += 1;
        fs::write(site.path("bus.crt"), &issued.cert_pem).unwrap();
        std::future::ready(())
    });
    assert_eq!(outcome.await, Outcome::Reloaded);
    assert_eq!(waits, 1);
}

#[test]
fn the_present_value_can_be_taken_while_files_are_read() {
    let site = Site::new();
    let rotating = Rotating::new(site.server()).unwrap();
    let reading = rotating.loading();
    assert_eq!(rotating.current().certificates.len(), 1);
    drop(reading);
}

#[tokio::test]
async fn a_symlink_swap_is_seen() {
    let site = Site::new();
    let mount = site.path("mount");
    for version in ["..1", "..2"] {
        fs::create_dir_all(mount.join(version)).unwrap();
        let issued = site.ca.issue(&LeafRequest::server("bus")).unwrap();
        issued.write(&mount.join(version), "tls").unwrap();
    }
    symlink("..1", mount.join("..data")).unwrap();
    symlink("..data/tls.crt", mount.join("tls.crt")).unwrap();
    symlink("..data/tls.key", mount.join("tls.key")).unwrap();
    let certificates = vec![crate::tls::CertifiedFile::new(mount.join("tls.crt"), mount.join("tls.key"))];
    let mut watched = Watched::start(ServerTls { certificates, ..site.server() });
    let (_accepted, first) = connect(&site, watched.rotating.current().config.clone()).await;

    symlink("..2", mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    watched.reloaded().await;
    let (_accepted, second) = connect(&site, watched.rotating.current().config.clone()).await;
    assert_ne!(shown_serial(&first), shown_serial(&second));
    watched.finish().await;
}

#[tokio::test]
async fn trust_and_revocation_lists_rotate_with_the_rest() {
    let site = Site::new();
    let crls = site.path("crls");
    fs::create_dir(&crls).unwrap();
    let mut watched = Watched::start(ServerTls { crls: vec![crls.clone()], ..site.server() });
    let client = site.ca.issue(&LeafRequest::client("billing")).unwrap();
    client.write(site.dir.path(), "billing").unwrap();
    connect(&site, watched.rotating.current().config.clone()).await;
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);

    // Renamed into place: half a list would be refused first.
    fs::write(site.path("new.crl"), site.ca.crl(&[client.serial], now - hour, now + hour).unwrap()).unwrap();
    fs::rename(site.path("new.crl"), crls.join("ca.crl")).unwrap();
    watched.reloaded().await;
    let client = site.client(Some(site.pair("billing"))).build().unwrap();
    let (accepted, _) = handshake(watched.rotating.current().config.clone(), client.clone(), "bus").await;
    assert!(accepted.unwrap_err().to_string().contains("Revoked"));

    fs::remove_file(crls.join("ca.crl")).unwrap();
    watched.reloaded().await;
    let (accepted, _) = handshake(watched.rotating.current().config.clone(), client.clone(), "bus").await;
    assert!(accepted.is_ok());

    Authority::new("Other").unwrap().write(site.dir.path(), "other").unwrap();
    fs::rename(site.path("other.crt"), site.path("ca.crt")).unwrap();
    watched.reloaded().await;
    let (accepted, _) = handshake(watched.rotating.current().config.clone(), client, "bus").await;
    assert!(accepted.unwrap_err().to_string().contains("UnknownIssuer"));
    watched.finish().await;
}

#[test]
fn looking_at_unchanged_files_changes_nothing() {
    let site = Site::new();
    let rotating = Rotating::new(site.server()).unwrap();
    let before = rotating.current();
    assert_eq!(rotating.check(), Outcome::Unchanged);
    fs::copy(site.path("bus.crt"), site.path("copy")).unwrap();
    fs::rename(site.path("copy"), site.path("bus.crt")).unwrap();
    assert_eq!(rotating.check(), Outcome::Unchanged, "another file, the same content");
    let mut replaced = rotating.subscribe();
    rotating.reload().unwrap();
    assert!(replaced.has_changed().unwrap());
    assert!(Arc::ptr_eq(&replaced.borrow_and_update(), &rotating.current()));
    assert!(!Arc::ptr_eq(&before, &rotating.current()), "reload builds anew in any case");
}

#[test]
fn a_good_certificate_is_not_given_up_for_one_nobody_would_accept() {
    let site = Site::new();
    let rotating = Rotating::new(site.server()).unwrap();
    let good = rotating.current();
    for request in [LeafRequest::server("bus").expired(), LeafRequest::server("bus").not_yet_valid()] {
        site.issue("bus", &request);
        let Outcome::Refused(why) = rotating.check() else { panic!("expected a refusal") };
        assert!(why.ends_with("the certificate in use is still good and stays"), "{why}");
        assert!(Arc::ptr_eq(&good, &rotating.current()));
    }

    // A process that starts with such a certificate runs, and takes the next one whatever it is.
    let rotating = Rotating::new(site.server()).unwrap();
    site.issue("bus", &LeafRequest::server("bus").expired());
    assert_eq!(rotating.check(), Outcome::Reloaded);
    site.issue("bus", &LeafRequest::server("bus"));
    assert_eq!(rotating.check(), Outcome::Reloaded);
}

#[test]
fn another_description_is_taken_whole_or_not_at_all() {
    let site = Site::new();
    let rotating = Rotating::new(site.server()).unwrap();
    let before = rotating.current();
    let broken =
        ServerTls { client_auth: ClientAuth::Required { roots: site.path("none") }, ..site.server() };
    assert!(rotating.reload_with(broken).is_err());
    assert!(Arc::ptr_eq(&before, &rotating.current()));
    assert_eq!(rotating.check(), Outcome::Unchanged, "still follows the old files");

    site.issue("second", &LeafRequest::server("second").expired());
    let second = ServerTls { certificates: vec![site.pair("bus"), site.pair("second")], ..site.server() };
    rotating.reload_with(second).unwrap();
    let expiries = rotating.expiries();
    assert_eq!(expiries.len(), 2);
    assert_eq!(rotating.earliest_expiry(), Some(expiries[1].not_after));
    site.issue("second", &LeafRequest::server("second"));
    assert_eq!(rotating.check(), Outcome::Reloaded);
    assert_eq!(rotating.earliest_expiry(), rotating.expiries().iter().map(|expiry| expiry.not_after).min());
}
