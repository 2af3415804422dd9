//! What operators deploy: the chart renders to what Kubernetes knows and to configurations our programs accept, the
//! units to what systemd knows.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use gatehouse_tests::{Pki, binary, peers_dir, run, run_binary, skip};

/// Values files, each with what has to be in the rendered documents.
const VALUES: [(&str, &str, &[&str]); 4] = [
    (
        "defaults",
        "certificates: { frontend: { issuerRef: { name: letsencrypt } } }",
        &[
            "kind: StatefulSet",
            "kind: PodDisruptionBudget",
            "kind: NetworkPolicy",
            "path: /readyz",
            "isCA: true",
        ],
    ),
    (
        "external NATS, secrets of one's own, everything optional switched on",
        "bus: { enabled: false }
externalNats: { urls: [\"tls://nats-0.nats:7422\", \"tls://nats-1.nats:7422\"], serverName: nats }
certificates: { certManager: false, frontend: { secret: front }, link: { secret: link } }
gateway:
  autoscaling: { enabled: true }
  clientCertificates: { mode: optional, caSecret: partners }
  serviceAccountTokens: { enabled: true }
podMonitor: { enabled: true }",
        &["kind: HorizontalPodAutoscaler", "gatehouse_connections", "kind: PodMonitor", "discovery = true"],
    ),
    (
        "an internal issuer of one's own",
        "certificates: { frontend: { secret: front }, internal: { issuerRef: { name: corp, kind: ClusterIssuer } } }",
        &["kind: ClusterIssuer", "commonName: event-gateway"],
    ),
    (
        "roles on the bus",
        "certificates: { frontend: { secret: front } }
bus:
  config: |
    [[roles]]
    name = \"billing\"
    publish = { allow = [\"invoices.>\"] }
    [[bindings]]
    role = \"billing\"
    when = { \"certificate.dns\" = \"billing.internal\" }",
        &["certificate.dns"],
    ),
];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Renders the chart with `values` in `dir`; an error when lint, rendering or Kubernetes' types find fault.
async fn render(dir: &Path, values: &str) -> Result<String> {
    fs::write(dir.join("values.yaml"), values)?;
    let chart = deploy().join("helm/gatehouse");
    let check = peers_dir().join("bin/kube-check");
    let args = [chart.as_os_str(), OsStr::new("values.yaml")];
    run(check.as_os_str(), dir, args).await?.output()
}

fn have_kube_check() -> bool {
    let have = peers_dir().join("bin/kube-check").exists();
    if !have {
        skip("kube-check could not be built");
    }
    have
}

/// A file of a rendered ConfigMap.
fn data(rendered: &str, file: &str) -> Option<String> {
    let start = rendered.find(&format!("\n  {file}: |"))?;
    let lines = rendered[start..].lines().skip(2);
    let text: Vec<&str> = lines
        .take_while(|line| line.is_empty() || line.starts_with("    "))
        .map(|line| line.strip_prefix("    ").unwrap_or_default())
        .collect();
    Some(text.join("\n"))
}

/// The folders a pod would see, filled from a development PKI, and the configuration pointing into them.
fn settle(pki: &Pki, config: &str) -> Result<String> {
    let folders = [
        ("frontend", "frontend", "frontend-ca"),
        ("link", "event-gateway", "internal-ca"),
        ("tls", "internal-bus", "internal-ca"),
        ("clients", "event-gateway", "internal-ca"),
    ];
    for (folder, pair, ca) in folders {
        let folder = pki.path(folder);
        fs::create_dir_all(&folder)?;
        for (from, to) in [
            (format!("{pair}.crt"), "tls.crt"),
            (format!("{pair}.key"), "tls.key"),
            (format!("{ca}.crt"), "ca.crt"),
        ] {
            fs::copy(pki.path(&from), folder.join(to)).with_context(|| from.clone())?;
        }
    }
    let account = pki.path("serviceaccount");
    fs::create_dir_all(&account)?;
    fs::copy(pki.path("internal-ca.crt"), account.join("ca.crt"))?;
    fs::write(account.join("token"), "token")?;
    let root = pki.dir().display().to_string();
    Ok(config
        .replace("/var/run/secrets/kubernetes.io/serviceaccount", &account.display().to_string())
        .replace("/etc/gatehouse", &root)
        .replace("/run/gatehouse", &root)
        .replace("/var/lib/gatehouse", &root))
}

#[tokio::test]
async fn the_chart_renders_to_what_kubernetes_and_our_programs_understand() -> Result<()> {
    if !have_kube_check() {
        return Ok(());
    }
    for (what, values, words) in VALUES {
        let pki = Pki::new()?;
        let rendered = render(pki.dir(), values).await.context(what)?;
        for word in words {
            ensure!(rendered.contains(word), "{what}: no {word} in\n{rendered}");
        }
        let gateway = data(&rendered, "gateway.toml").context("no gateway.toml")?;
        fs::write(pki.path("gateway.toml"), settle(&pki, &gateway)?)?;
        run_binary("event-gateway", pki.dir(), ["check-config", "gateway.toml"])
            .await?
            .output()
            .context(what)?;
        let Some(bus) = data(&rendered, "internal-bus.toml") else {
            ensure!(values.contains("bus: { enabled: false }"), "{what}: no bus");
            continue;
        };
        fs::write(pki.path("bus.toml"), settle(&pki, &bus)?)?;
        run_binary("internal-bus", pki.dir(), ["-t", "-c", "bus.toml"]).await?.output().context(what)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_chart_says_what_it_needs() -> Result<()> {
    if !have_kube_check() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    for (values, word) in [
        ("{}", "certificates.frontend.issuerRef.name"),
        ("{ bus: { enabled: false }, certificates: { frontend: { secret: x } } }", "externalNats.urls"),
        (
            "{ gateway: { clientCertificates: { mode: required } }, certificates: { frontend: { secret: x } } }",
            "clientCertificates.caSecret",
        ),
    ] {
        let error =
            render(dir.path(), values).await.err().with_context(|| format!("{values} was accepted"))?;
        ensure!(error.to_string().contains(word), "{values}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn systemd_understands_the_units() -> Result<()> {
    let analyze = Path::new("/usr/bin/systemd-analyze");
    if !analyze.exists() {
        skip("systemd-analyze is not installed");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    for program in ["event-gateway", "internal-bus"] {
        let unit = fs::read_to_string(deploy().join(format!("systemd/{program}.service")))?;
        // Where it would be installed, so that systemd finds something to run.
        let installed = format!("/usr/local/bin/{program}");
        ensure!(
            unit.contains(&format!("ExecStart={installed} --config /etc/gatehouse/")),
            "{program}: {unit}"
        );
        let unit = unit.replace(&installed, &binary(program)?.display().to_string());
        let file = dir.path().join(format!("{program}.service"));
        fs::write(&file, unit)?;
        let ran = run(analyze.as_os_str(), dir.path(), [OsStr::new("verify"), file.as_os_str()]).await?;
        // What it says about this machine's other units is not ours.
        let ours: Vec<&str> = ran.stderr.lines().filter(|line| line.contains(program)).collect();
        ensure!(ours.is_empty(), "{program}: {ours:?}");
    }
    Ok(())
}

#[test]
fn the_image_is_built_from_what_is_there() -> Result<()> {
    let text = fs::read_to_string(deploy().join("Containerfile"))?;
    for program in ["event-gateway", "internal-bus"] {
        ensure!(text.contains(&format!("target/release/{program}")), "{program} is not in the image");
    }
    let manifest = fs::read_to_string(deploy().join("../Cargo.toml"))?;
    let rust =
        manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).context("no rust-version")?;
    ensure!(
        text.contains(&format!("ARG RUST={}", rust.trim_matches('"'))),
        "the image builds with another Rust than {rust}"
    );
    ensure!(text.contains("USER 65532"), "the image runs as root");
    Ok(())
}
