//! The source is tested like code: who may import whom, how long a file may be, what must not be there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Lines of production code in one file. The median should be near a quarter of it.
const FILE_LINES: usize = 600;

/// A workspace member, which of the other members it may use, and which foreign crates it must not.
struct Floor {
    package: &'static str,
    ours: &'static [&'static str],
    never: &'static [&'static str],
}

const FLOORS: [Floor; 11] = [
    Floor { package: "gatehouse-wire", ours: &[], never: &["tokio", "rustls", "tokio-rustls", "tracing"] },
    Floor { package: "gatehouse-subject", ours: &[], never: &["serde", "tokio"] },
    Floor {
        package: "gatehouse-natsfiles",
        ours: &["gatehouse-subject", "gatehouse-wire"],
        never: &["serde", "serde_json", "tokio", "tracing"],
    },
    Floor { package: "gatehouse-identity", ours: &["gatehouse-subject"], never: &["axum", "async-nats"] },
    Floor { package: "gatehouse-daemon", ours: &["gatehouse-identity"], never: &["async-nats"] },
    Floor {
        package: "gatehouse-broker",
        ours: &["gatehouse-wire", "gatehouse-subject", "gatehouse-identity"],
        never: &["axum", "async-nats", "clap", "toml"],
    },
    Floor {
        package: "gatehouse-store",
        ours: &["gatehouse-subject"],
        never: &["tokio", "rustls", "tokio-rustls", "serde_json", "axum", "async-nats"],
    },
    Floor {
        package: "gatehouse-jetstream",
        ours: &[
            "gatehouse-broker",
            "gatehouse-identity",
            "gatehouse-store",
            "gatehouse-subject",
            "gatehouse-wire",
        ],
        never: &["axum", "async-nats", "clap", "toml", "rustls", "tokio-rustls"],
    },
    Floor {
        package: "gatehouse-node",
        ours: &["gatehouse-broker", "gatehouse-daemon", "gatehouse-identity"],
        never: &["axum", "async-nats", "clap"],
    },
    Floor {
        package: "event-gateway",
        ours: &[
            "certs-dev",
            "gatehouse-broker",
            "gatehouse-daemon",
            "gatehouse-identity",
            "gatehouse-node",
            "gatehouse-store",
            "gatehouse-subject",
            "gatehouse-wire",
        ],
        never: &["x509-parser", "rustls-pemfile"],
    },
    Floor {
        package: "internal-bus",
        ours: &[
            "gatehouse-broker",
            "gatehouse-daemon",
            "gatehouse-identity",
            "gatehouse-jetstream",
            "gatehouse-natsfiles",
            "gatehouse-node",
            "gatehouse-store",
            "gatehouse-subject",
            "gatehouse-wire",
        ],
        never: &["jsonwebtoken", "x509-parser", "rustls-pemfile"],
    },
];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The source files, tests included, without what the build makes.
fn rust_files() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    ensure!(files.len() > 20, "only {} source files found", files.len());
    Ok(files)
}

/// Fails with every complaint at once.
fn report(complaints: &[String]) -> Result<()> {
    ensure!(complaints.is_empty(), "{} complaints:\n  {}", complaints.len(), complaints.join("\n  "));
    Ok(())
}

/// Complaints about single files: `judge` gets the path below the root, and the text.
fn each_file(judge: impl Fn(&str, &str) -> Vec<String>) -> Result<()> {
    let mut complaints = Vec::new();
    for file in rust_files()? {
        let name = file.strip_prefix(root())?.display().to_string();
        complaints.extend(judge(&name, &fs::read_to_string(&file)?));
    }
    report(&complaints)
}

/// The part of a file before its test module.
fn production(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
}

/// Whether a file is a test, or only serves tests.
fn is_test(name: &str) -> bool {
    name.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "fuzz" | "benches" | "bench"))
        || name.ends_with("_tests.rs")
        || name.ends_with("/testing.rs")
}

#[test]
fn members_import_only_what_their_floor_allows() -> Result<()> {
    let cargo = std::env::var_os("CARGO").context("not run by cargo")?;
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let members: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut complaints = Vec::new();
    for floor in &FLOORS {
        let package = packages.iter().find(|package| package["name"] == floor.package);
        let Some(package) = package else {
            complaints.push(format!("there is no member {}", floor.package));
            continue;
        };
        let dependencies = package["dependencies"].as_array().context("no dependencies")?;
        // Tests of a member may use what they like.
        for dependency in dependencies.iter().filter(|dependency| dependency["kind"].is_null()) {
            let name = dependency["name"].as_str().unwrap_or_default();
            if floor.never.contains(&name) || (members.contains(name) && !floor.ours.contains(&name)) {
                complaints.push(format!("{} must not use {name}", floor.package));
            }
        }
    }
    report(&complaints)
}

#[test]
fn every_file_says_what_it_is_for() -> Result<()> {
    each_file(|name, text| {
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        if first.starts_with("//! ") {
            vec![]
        } else {
            vec![format!("{name} does not begin with a `//!` line")]
        }
    })
}

#[test]
fn files_stay_readable_in_one_sitting() -> Result<()> {
    each_file(|name, text| {
        let lines = production(text).count();
        if lines > FILE_LINES { vec![format!("{name} has {lines} lines, over {FILE_LINES}")] } else { vec![] }
    })
}

#[test]
fn no_test_is_ignored_and_none_waits_blindly() -> Result<()> {
    each_file(|name, text| {
        let mut complaints = Vec::new();
        // Written in two halves, so that this file does not accuse itself.
        if text.contains(concat!("#[", "ignore")) {
            complaints.push(format!("{name} has an ignored test"));
        }
        let waits = name.starts_with("tests/tests/") && text.contains(concat!("slee", "p("));
        if waits {
            complaints.push(format!("{name} sleeps; poll with `eventually` instead"));
        }
        complaints
    })
}

#[test]
fn sockets_timers_and_tasks_stay_where_the_floors_say() -> Result<()> {
    // The broker's logic is driven by hand in its own tests: only `net`, and `server`, which puts it to work, run.
    let allowed = [
        "bench/",
        "crates/broker/examples/",
        "crates/broker/src/net/",
        "crates/broker/src/server.rs",
        "crates/daemon/",
        "crates/identity/src/rotate/",
        "crates/jetstream/src/run/",
        "crates/node/",
        "gateway/src/",
        "internal-bus/src/",
        "tests/",
    ];
    let signs = ["tokio::net", "tokio::time", "tokio::io", "tokio::spawn", "TcpStream", "TcpListener"];
    each_file(|name, text| {
        if is_test(name)
            || !name.starts_with("crates/")
            || allowed.iter().any(|folder| name.starts_with(folder))
        {
            return vec![];
        }
        let code = production(text).filter(|(_, line)| !line.trim_start().starts_with("//"));
        let found = code.filter(|(_, line)| signs.iter().any(|sign| line.contains(sign)));
        found.map(|(at, line)| format!("{name}:{at} reaches outside: {}", line.trim())).collect()
    })
}

#[test]
fn pem_files_are_read_in_one_place() -> Result<()> {
    each_file(|name, text| {
        let uses = !name.starts_with("tests/")
            && name != "crates/identity/src/pem.rs"
            && text.contains("rustls_pemfile");
        if uses {
            vec![format!("{name} uses rustls_pemfile, which only crates/identity/src/pem.rs may")]
        } else {
            vec![]
        }
    })
}

#[test]
fn unsafe_code_says_why_it_is_sound() -> Result<()> {
    each_file(|name, text| {
        let lines: Vec<&str> = text.lines().collect();
        let blocks = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.contains(concat!("unsafe", " {")) && !line.trim().starts_with("//"));
        let bare = blocks
            .filter(|(at, _)| !lines.iter().take(*at).rev().take(4).any(|line| line.contains("SAFETY:")));
        bare.map(|(at, _)| format!("{name}:{} has an unsafe block without `SAFETY:`", at + 1)).collect()
    })
}

#[test]
fn no_private_key_is_committed() -> Result<()> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    // A source archive has no repository, and nothing that git has not listed.
    let Ok(listed) = listed.map(|output| output.stdout) else { return Ok(()) };
    let mut complaints = Vec::new();
    for name in String::from_utf8(listed)?.split('\0').filter(|name| !name.is_empty()) {
        let Ok(bytes) = fs::read(root().join(name)) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        // The marker of a key with its line end: source code that only names it has a quote there.
        if text
            .lines()
            .any(|line| line.starts_with("-----BEGIN") && line.ends_with(concat!("PRIVATE ", "KEY-----")))
        {
            complaints.push(format!("{name} holds a private key"));
        }
    }
    report(&complaints)
}

#[test]
fn lock_files_name_no_registry_of_whoever_wrote_them() -> Result<()> {
    let lock = fs::read_to_string(root().join("tests/peers/js/package-lock.json"))?;
    ensure!(!lock.contains("\"resolved\""), "tests/peers/js/package-lock.json names a registry");
    Ok(())
}
