//! The log on real files: the chain, what breaks it, what a full disk does, what a crash leaves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::config::Size;

const PATIENCE: Duration = Duration::from_secs(20);

fn config(folder: &TempDir) -> AuditConfig {
    AuditConfig { file: Some(folder.path().join("audit.jsonl")), ..AuditConfig::default() }
}

fn login(index: usize) -> Event {
    Event::new(Kind::Login).identity(&format!("client-{index}")).with("roles", vec!["partner"])
}

/// A log of `lines` lines, the start and the end among them.
fn write(config: &AuditConfig, lines: usize) -> PathBuf {
    let audit = Audit::open(config, "test").unwrap();
    for index in 0..lines - 2 {
        audit.record(login(index)).unwrap();
        if config.max_file.as_u64() < 1_000_000 {
            // One batch per event, so that files are put aside in between.
            assert!(audit.flush(PATIENCE));
        }
    }
    audit.close();
    config.file.clone().unwrap()
}

fn events(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_recorded_is_written_in_order_and_verified() {
    let folder = TempDir::new().unwrap();
    let path = write(&config(&folder), 5);
    let lines = events(&path);
    let names: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["started", "login", "login", "login", "stopped"]);
    assert_eq!(lines[1]["identity"], "client-0");
    assert_eq!(lines[0]["prev"], Hash::ZERO.to_string());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let verified = verify(&[path], None).unwrap();
    assert_eq!((verified.lines, verified.first, verified.head.seq), (5, 1, 5));
    assert!(verified.head_compared);
}

#[test]
fn the_chain_goes_on_over_restarts_and_files() {
    let folder = TempDir::new().unwrap();
    let config = AuditConfig { max_file: Size::bytes(700), ..config(&folder) };
    write(&config, 6);
    let path = write(&config, 6);
    let aside = file::rotated(&path).unwrap();
    assert!(aside.len() >= 2, "{aside:?}");
    assert_eq!(verify(std::slice::from_ref(&path), None).unwrap().lines, 12);
    let mut all: Vec<PathBuf> = aside.into_iter().map(|(_, path)| path).collect();
    all.insert(0, path.clone());
    assert_eq!(verify(&all, None).unwrap().lines, 12, "in whatever order they are named");
    fs::remove_file(&all[2]).unwrap();
    let error = verify(&[path], None).unwrap_err().to_string();
    assert!(error.contains("were removed"), "{error}");
}

#[test]
fn old_files_are_deleted_where_it_says_so() {
    let folder = TempDir::new().unwrap();
    let config = AuditConfig { max_file: Size::bytes(300), keep: 2, ..config(&folder) };
    let path = write(&config, 12);
    assert_eq!(file::rotated(&path).unwrap().len(), 2);
    let verified = verify(&[path], None).unwrap();
    assert!(verified.first > 1 && verified.head.seq == 12, "{verified:?}");
}

#[test]
fn a_line_that_was_not_finished_is_kept_apart_and_told() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    let path = write(&config, 4);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"{\"seq\":5,\"time\""].concat()).unwrap();
    write(&config, 2);
    let lines = events(&path);
    assert_eq!(lines[5]["reason"], "torn_line");
    assert_eq!(fs::read(lines[5]["kept_in"].as_str().unwrap()).unwrap(), b"{\"seq\":5,\"time\"");
    verify(&[path], None).unwrap();
}

#[test]
fn a_log_that_was_cut_while_nobody_wrote_is_told_at_the_next_start() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    let path = write(&config, 6);
    let text = fs::read_to_string(&path).unwrap();
    let kept: String = text.lines().take(4).map(|line| format!("{line}\n")).collect();
    fs::write(&path, kept).unwrap();
    assert!(matches!(
        verify(std::slice::from_ref(&path), None),
        Err(VerifyError::CutOff { last: 4, head: 6 })
    ));
    write(&config, 3);
    let told = events(&path).into_iter().find(|line| line["event"] == "recovered").unwrap();
    assert_eq!(
        (&told["reason"], &told["head_seq"], &told["last_seq"]),
        (&"head_missing".into(), &6.into(), &4.into())
    );
}

#[test]
fn a_log_whose_end_was_altered_is_not_written_on() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    let path = write(&config, 3);
    let text = fs::read_to_string(&path).unwrap().replace("\"stopped\"", "\"started\"");
    fs::write(&path, text).unwrap();
    let error = Audit::open(&config, "test").unwrap_err().to_string();
    assert!(error.contains("was altered"), "{error}");
}

#[test]
fn a_head_kept_elsewhere_shows_a_log_written_anew() {
    let folder = TempDir::new().unwrap();
    let path = write(&config(&folder), 4);
    let known = verify(std::slice::from_ref(&path), None).unwrap().head;
    fs::remove_file(&path).unwrap();
    fs::remove_file(head_beside(&path)).unwrap();
    write(&config(&folder), 6);
    assert!(verify(std::slice::from_ref(&path), None).is_ok());
    assert!(matches!(verify(&[path], Some(known)), Err(VerifyError::OtherHead(4))));
}

#[test]
fn a_hash_in_another_spelling_is_an_alteration() {
    let folder = TempDir::new().unwrap();
    let path = write(&config(&folder), 8);
    let text = fs::read_to_string(&path).unwrap();
    let (line, hash) = text
        .lines()
        .find_map(|line| {
            Some((line, line.rsplit_once("\"hash\":\"")?.1))
                .filter(|(_, hash)| hash.contains(['a', 'b', 'c']))
        })
        .unwrap();
    let spelled = line.replace(hash, &hash.to_uppercase());
    fs::write(&path, text.replace(line, &spelled)).unwrap();
    assert!(verify(&[path], None).is_err());
}

/// What an intruder may do to a log.
#[derive(Debug, Clone)]
enum Tampering {
    Remove(usize),
    Swap(usize, usize),
    Repeat(usize),
    Alter(usize, usize, u8),
    CutLines(usize),
    CutBytes(usize),
}

fn tampering() -> impl Strategy<Value = Tampering> {
    prop_oneof![
        any::<usize>().prop_map(Tampering::Remove),
        any::<(usize, usize)>().prop_map(|(a, b)| Tampering::Swap(a, b)),
        any::<usize>().prop_map(Tampering::Repeat),
        (any::<usize>(), any::<usize>(), 0x20..0x7f_u8).prop_map(|(l, c, b)| Tampering::Alter(l, c, b)),
        any::<usize>().prop_map(Tampering::CutLines),
        any::<usize>().prop_map(Tampering::CutBytes),
    ]
}

fn tamper(text: &str, how: &Tampering) -> String {
    let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
    let count = lines.len();
    match *how {
        Tampering::Remove(at) => drop(lines.remove(at % count)),
        Tampering::Swap(a, b) => lines.swap(a % count, b % count),
        Tampering::Repeat(at) => lines.insert(at % count, lines[at % count].clone()),
        Tampering::Alter(line, column, byte) => {
            let mut bytes = lines[line % count].clone().into_bytes();
            let at = column % bytes.len();
            bytes[at] = byte;
            lines[line % count] = String::from_utf8(bytes).unwrap();
        }
        Tampering::CutLines(keep) => lines.truncate(keep % count),
        Tampering::CutBytes(keep) => return text[..keep % text.len()].to_owned(),
    }
    lines.concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn no_tampering_goes_unnoticed(how in tampering()) {
        thread_local! {
            static LOG: (TempDir, String) = {
                let folder = TempDir::new().unwrap();
                let path = write(&config(&folder), 8);
                let text = fs::read_to_string(path).unwrap();
                (folder, text)
            };
        }
        LOG.with(|(folder, text)| {
            let altered = tamper(text, &how);
            let path = folder.path().join("audit.jsonl");
            fs::write(&path, &altered).unwrap();
            let verified = verify(&[path], None);
            let whole = verified.as_ref().is_ok_and(|verified| verified.first == 1);
            prop_assert_eq!(whole, altered == *text, "{:?}: {:?}", how, verified);
            Ok(())
        })?;
    }
}

#[test]
fn what_comes_too_fast_is_refused_or_counted() {
    for on_full in [OnFull::Refuse, OnFull::Count] {
        let folder = TempDir::new().unwrap();
        let config = AuditConfig { on_full, queue: 4, ..config(&folder) };
        let audit = Audit::open(&config, "test").unwrap();
        // The thread syncs once per batch, so a queue of four overflows long before this ends.
        let refused = (0..200_000).filter(|index| audit.record(login(*index)).is_err()).count();
        let dropped = audit.0.as_ref().unwrap().shared.dropped.load(Ordering::Relaxed);
        assert!(dropped > 0);
        assert_eq!(refused as u64, if on_full == OnFull::Refuse { dropped } else { 0 });
        audit.close();
        let path = config.file.unwrap();
        let told: u64 = events(&path)
            .iter()
            .filter(|line| line["event"] == "dropped")
            .map(|line| line["count"].as_u64().unwrap())
            .sum();
        assert_eq!(told, dropped, "what was dropped stands in the log");
        verify(&[path], None).unwrap();
    }
}

#[test]
fn a_full_disk_refuses_or_counts_and_nothing_is_torn() {
    // A device that is always full stands in for the disk.
    let path = PathBuf::from("/dev/full");
    let mut log = fs::OpenOptions::new().append(true).open(&path).unwrap();
    assert_eq!(io::Write::write_all(&mut log, b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);

    let folder = TempDir::new().unwrap();
    let real = folder.path().join("audit.jsonl");
    let audit = Audit::open(&AuditConfig { on_full: OnFull::Refuse, ..config(&folder) }, "test").unwrap();
    assert!(audit.flush(PATIENCE));
    let shared = Arc::clone(&audit.0.as_ref().unwrap().shared);
    shared.failing.store(true, Ordering::Release);
    assert_eq!(audit.record(login(1)), Err(AuditFull));
    audit.note(Event::new(Kind::SessionClosed).reason("expired"));
    assert!(audit.flush(PATIENCE), "what happened anyway is written as soon as the disk takes it");
    assert!(!shared.failing.load(Ordering::Acquire), "and logins are let in again");
    assert_eq!(audit.record(login(2)), Ok(()));
    audit.close();
    let names: Vec<Value> = events(&real).into_iter().map(|mut line| line["event"].take()).collect();
    assert!(names.contains(&"dropped".into()) && names.contains(&"session_closed".into()), "{names:?}");
}

#[test]
fn a_flood_of_refusals_is_counted() {
    let folder = TempDir::new().unwrap();
    let config = AuditConfig { denials_per_second: 3, ..config(&folder) };
    let audit = Audit::open(&config, "test").unwrap();
    for _ in 0..1_000 {
        audit.record(Event::new(Kind::Denied).reason("expired").address(([127, 0, 0, 1], 9).into())).unwrap();
    }
    audit.close();
    let lines = events(&config.file.unwrap());
    let single = lines.iter().filter(|line| line["event"] == "denied").count() as u64;
    let counted: u64 = lines
        .iter()
        .filter(|line| line["event"] == "denials_counted")
        .map(|line| line["count"].as_u64().unwrap())
        .sum();
    assert_eq!(single + counted, 1_000);
    assert!(single <= 12, "{single}");
}

#[test]
fn texts_are_bounded_and_members_can_not_pass_for_others() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    let audit = Audit::open(&config, "test").unwrap();
    let event = Event::new(Kind::Denied)
        .identity(&"ä".repeat(5_000))
        .with("hash", "0".repeat(64))
        .with("seq", 7)
        .with("nested", serde_json::json!({"a": 1}))
        .detail("line\nbreak\",\"hash\":\"");
    audit.record(event).unwrap();
    audit.close();
    let path = config.file.unwrap();
    let line = &events(&path)[1];
    assert_eq!(line["seq"], 2);
    assert!(line["identity"].as_str().unwrap().len() < 600 && line.get("nested").is_none());
    verify(&[path], None).unwrap();
}
